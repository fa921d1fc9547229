;; 45, 46. Calls what the input, a text, names: another tenant's agent, an address.
(func (export "run") (type $run)
  (call $call (i32.add (local.get 2) (i32.const 1)) (i32.sub (local.get 3) (i32.const 2))
              (local.get 2) (local.get 3) (i32.const 64))
  (if (i32.load8_u (i32.const 64)) (then (return (call $number (i64.load8_u (i32.const 68))))))
  unreachable)
