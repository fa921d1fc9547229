;; 2. Computes for ever as soon as there is an instance of it; but not for `describe`, whose first random number is known.
(func $start
  (if (i64.ne (call $random) (i64.const 0x903df1a0ade0b876)) (then (loop br 0))))
(start $start)
(func (export "run") (type $run) (call $null))
