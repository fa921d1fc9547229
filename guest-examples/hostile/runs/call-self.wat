;; 11, 13. Calls itself, and returns what that returned; when a call is refused, the number of that error.
(data (i32.const 16) "call-self.run")
(func (export "run") (type $run)
  (call $call (i32.const 16) (i32.const 13) (local.get 2) (local.get 3) (i32.const 64))
  (if (i32.load8_u (i32.const 64)) (then (return (call $number (i64.load8_u (i32.const 68))))))
  (call $ok (i32.load (i32.const 68)) (i32.load (i32.const 72))))
