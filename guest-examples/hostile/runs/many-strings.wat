;; 15. Pauses with a million choices, all of them empty.
(memory (export "memory") 256)
(func (export "run") (type $run)
  (i32.store (i32.const 64) (i32.const 16)) (i32.store (i32.const 68) (i32.const 1))
  (i32.store8 (i32.const 16) (i32.const 97))
  (i32.store (i32.const 156) (i32.const 65536)) (i32.store (i32.const 160) (i32.const 1000000))
  (call $pause (i32.const 64) (i32.const 1024))
  (call $null))
