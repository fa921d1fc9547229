;; 24. Panics with a message of a MiB.
(func (export "run") (type $run)
  (local $n i32) (local $stream i32)
  (local.set $stream (call $stderr))
  (memory.fill (i32.const 16384) (i32.const 0x78) (i32.const 4096))
  (loop $more
    (call $write (local.get $stream) (i32.const 16384) (i32.const 4096) (i32.const 64))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 256))))
  unreachable)
