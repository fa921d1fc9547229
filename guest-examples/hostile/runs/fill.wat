;; 5. Fills 63 MiB of memory for ever: each `memory.fill` is one instruction.
(memory (export "memory") 1024)
(func (export "run") (type $run)
  (loop (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 0x3f00000)) (br 0)) unreachable)
