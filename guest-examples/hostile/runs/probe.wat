;; 33. Looks at the clock, computes for a while, and returns how much later it is.
(func (export "run") (type $run)
  (local $began i64) (local $n i32)
  (local.set $began (call $now))
  (loop $more (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000000))))
  (call $number (i64.sub (call $now) (local.get $began))))
