;; 30. Opens pauses for ever, and waits for none of them.
(func (export "run") (type $run)
  (i32.store8 (i32.const 16) (i32.const 97))
  ;; An ask at 64: `pause`, and the name of the request.
  (i32.store8 (i32.const 64) (i32.const 1))
  (i32.store (i32.const 72) (i32.const 16)) (i32.store (i32.const 76) (i32.const 1))
  (loop (call $abandon (call $submit (i32.const 64))) (br 0)) unreachable)
