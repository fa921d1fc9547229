;; 27, 28, 29. Asks by what it finds: random numbers, the clock, a NaN, memory that it has never written to. It sleeps
;; between them, so all of it runs twice; were anything else there then, it would be a mismatch.
(func $draw (param $round i64) (result i64)
  (i64.and (i64.const 0xff)
    (i64.xor (i64.xor (call $random) (i64.add (local.get $round) (call $now)))
             (i64.xor (i64.load (i32.const 60000))
                      (i64.reinterpret_f64 (f64.div (f64.convert_i64_u (i64.and (call $now) (i64.const 0)))
                                                    (f64.neg (f64.const 0))))))))
(func (export "run") (type $run)
  (local $round i64)
  (loop $more
    (call $sleep (i64.add (i64.const 30) (i64.and (call $draw (local.get $round)) (i64.const 31))))
    (br_if $more (i64.lt_u (local.tee $round (i64.add (local.get $round) (i64.const 1))) (i64.const 5))))
  (call $null))
