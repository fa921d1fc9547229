;; 13. Calls itself twice, each of which calls itself twice, and so on.
(data (i32.const 16) "call-twice.run")
(func (export "run") (type $run)
  (call $call (i32.const 16) (i32.const 14) (local.get 2) (local.get 3) (i32.const 64))
  (call $call (i32.const 16) (i32.const 14) (local.get 2) (local.get 3) (i32.const 64))
  (call $null))
