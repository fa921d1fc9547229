;; 32. Calls what there is not, with an input of 48 KiB, for ever: its journal grows.
(data (i32.const 16) "nobody.nothing")
(memory (export "memory") 2)
(func (export "run") (type $run)
  (memory.fill (i32.const 16384) (i32.const 0x20) (i32.const 49152))
  (i32.store8 (i32.const 16384) (i32.const 0x31))
  (loop
    (global.set $heap (i32.const 4096))
    (call $call (i32.const 16) (i32.const 14) (i32.const 16384) (i32.const 49152) (i32.const 64))
    (br 0))
  unreachable)
