;; 21. Asks a model, which never answers.
(data (i32.const 32) "?")
(func (export "run") (type $run)
  (i32.store (i32.const 20) (i32.const 32)) (i32.store (i32.const 24) (i32.const 1))
  (call $ai (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
  (call $number (i64.load8_u (i32.const 64))))
