;; 16. Hands over what is not there; the input, a digit, says what.
(func (export "run") (type $run)
  (local $case i32)
  (local.set $case (i32.sub (i32.load8_u (local.get 2)) (i32.const 48)))
  ;; 0: a text beyond the memory. 1: one of 4 GiB. 2: one that ends beyond it. 3: one whose end is beyond 32 bits.
  (if (i32.eq (local.get $case) (i32.const 0)) (then
    (call $call (i32.const 0x7fffffff) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 64))))
  (if (i32.eq (local.get $case) (i32.const 1)) (then
    (call $call (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 64))))
  (if (i32.eq (local.get $case) (i32.const 2)) (then
    (call $call (i32.const 0) (i32.const 0) (i32.const 65535) (i32.const 65536) (i32.const 64))))
  (if (i32.eq (local.get $case) (i32.const 3)) (then
    (call $call (i32.const -2) (i32.const 1000) (i32.const 0) (i32.const 0) (i32.const 64))))
  ;; 4: a list that is not aligned. 5: an answer that is to be written beyond the memory. 6: one that is not aligned.
  (if (i32.eq (local.get $case) (i32.const 4)) (then (call $wait-any (i32.const 1) (i32.const 1) (i32.const 64))))
  (if (i32.eq (local.get $case) (i32.const 5)) (then
    (call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const -16))))
  (if (i32.eq (local.get $case) (i32.const 6)) (then
    (call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 65))))
  ;; 7: an ask of a kind that there is not. 8: a result that is not aligned. 9: a result beyond the memory.
  (if (i32.eq (local.get $case) (i32.const 7)) (then
    (i32.store8 (i32.const 64) (i32.const 99)) (drop (call $submit (i32.const 64)))))
  (if (i32.eq (local.get $case) (i32.const 8)) (then (return (i32.const 3))))
  (if (i32.eq (local.get $case) (i32.const 9)) (then (return (i32.const -4))))
  (call $null))
