;; 14. Asks a model with a prompt of 100 MB.
(memory (export "memory") 1600)
(func (export "run") (type $run)
  ;; One message: its role, and its content.
  (i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 100000000))
  (call $ai (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
  (call $null))
