;; 25. Prints 16 MiB of what a terminal, or a reader of JSON, might take for something else.
(data (i32.const 64) "\1b[2J\1b]0;x\07{\22level\22:\22ERROR\22} \00 panicked \7f \e2\80\ae\ff\fe\0d........\0a")
(func (export "run") (type $run)
  (local $n i32) (local $stream i32)
  (local.set $stream (call $stdout))
  (loop $more
    (memory.copy (i32.add (i32.const 16384) (i32.shl (local.get $n) (i32.const 6))) (i32.const 64) (i32.const 64))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 64))))
  (local.set $n (i32.const 0))
  (loop $more
    (call $write (local.get $stream) (i32.const 16384) (i32.const 4096) (i32.const 2048))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 4096))))
  (call $null))
