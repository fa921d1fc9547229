;; 12. Calls `nothing` 40 times at once, and returns how many of them were refused.
(data (i32.const 16) "nothing.run")
(data (i32.const 32) "null")
(func (export "run") (type $run)
  (local $n i32) (local $refused i64)
  ;; An ask at 64: `call`, its target and its input.
  (i32.store8 (i32.const 64) (i32.const 4))
  (i32.store (i32.const 72) (i32.const 16)) (i32.store (i32.const 76) (i32.const 11))
  (i32.store (i32.const 80) (i32.const 32)) (i32.store (i32.const 84) (i32.const 4))
  (loop $more
    (i64.store (i32.add (i32.const 1024) (i32.shl (local.get $n) (i32.const 3))) (call $submit (i32.const 64)))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 40))))
  (local.set $n (i32.const 0))
  (loop $more
    (call $wait-any (i32.add (i32.const 1024) (i32.shl (local.get $n) (i32.const 3))) (i32.const 1) (i32.const 128))
    ;; Its answer at 136: `call`, and at 144 whether it is an error.
    (local.set $refused (i64.add (local.get $refused) (i64.load8_u (i32.const 144))))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 40))))
  (call $number (local.get $refused)))
