;; 32. Calls what there is not, is told so, and calls it again, for ever.
(data (i32.const 16) "nobody.nothing")
(data (i32.const 32) "null")
(func (export "run") (type $run)
  (loop
    (global.set $heap (i32.const 4096))
    (call $call (i32.const 16) (i32.const 14) (i32.const 32) (i32.const 4) (i32.const 64))
    (br 0))
  unreachable)
