;; 30. Opens 15 pauses at once, and returns the number of the ask that is answered first: no person does so soon.
(data (i32.const 16) "a")
(func (export "run") (type $run)
  (local $n i32)
  ;; An ask at 64: `pause`, and the name of the request.
  (i32.store8 (i32.const 64) (i32.const 1))
  (i32.store (i32.const 72) (i32.const 16)) (i32.store (i32.const 76) (i32.const 1))
  (loop $more
    (i64.store (i32.add (i32.const 1024) (i32.shl (local.get $n) (i32.const 3))) (call $submit (i32.const 64)))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 15))))
  (call $wait-any (i32.const 1024) (i32.const 15) (i32.const 512))
  (call $number (i64.load (i32.const 512))))
