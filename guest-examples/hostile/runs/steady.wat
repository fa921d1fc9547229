;; 32. Computes for a while, sleeps for a millisecond, and again, for ever: each slice is short.
(func (export "run") (type $run)
  (local $n i32)
  (loop $more
    (local.set $n (i32.const 0))
    (loop $busy (br_if $busy (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50000000))))
    (call $sleep (i64.const 1))
    (br $more))
  unreachable)
