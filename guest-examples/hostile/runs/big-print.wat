;; 14. Prints 100 MB at once.
(memory (export "memory") 1600)
(func (export "run") (type $run)
  (call $write (call $stdout) (i32.const 65536) (i32.const 100000000) (i32.const 16))
  (call $null))
