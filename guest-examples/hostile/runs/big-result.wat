;; 18. Returns 64 MiB.
(memory (export "memory") 1100)
(func (export "run") (type $run) (call $ok (i32.const 65536) (i32.const 0x4000000)))
