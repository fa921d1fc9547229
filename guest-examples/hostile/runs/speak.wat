;; 17, 19. Says whatever bytes the input holds, a text of hexadecimal digits behind a letter: `r` as its result, `t` as
;; the target of a call, `p` as a prompt, `n` as the name of a pause, `w` on stdout.
(func $digit (param $c i32) (result i32)
  (i32.add (i32.and (local.get $c) (i32.const 15)) (i32.mul (i32.shr_u (local.get $c) (i32.const 6)) (i32.const 9))))
(func (export "run") (type $run)
  (local $at i32) (local $n i32) (local $how i32)
  ;; Behind the quotation mark and the letter, decoded in its place.
  (local.set $how (i32.load8_u offset=1 (local.get 2)))
  (local.set $at (i32.add (local.get 2) (i32.const 2)))
  (block $done (loop $more
    (br_if $done (i32.ge_s (local.get $n) (i32.shr_s (i32.sub (local.get 3) (i32.const 3)) (i32.const 1))))
    (i32.store8 (i32.add (local.get $at) (local.get $n))
      (i32.or (i32.shl (call $digit (i32.load8_u (i32.add (local.get $at) (i32.shl (local.get $n) (i32.const 1)))))
                       (i32.const 4))
              (call $digit (i32.load8_u offset=1 (i32.add (local.get $at) (i32.shl (local.get $n) (i32.const 1)))))))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br $more)))
  (if (i32.eq (local.get $how) (i32.const 0x72)) (then (return (call $ok (local.get $at) (local.get $n)))))
  (if (i32.eq (local.get $how) (i32.const 0x74)) (then
    (call $call (local.get $at) (local.get $n) (i32.const 0) (i32.const 0) (i32.const 64))))
  (if (i32.eq (local.get $how) (i32.const 0x70)) (then
    (i32.store (i32.const 20) (local.get $at)) (i32.store (i32.const 24) (local.get $n))
    (call $ai (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
              (i32.const 0) (i32.const 0) (f32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))))
  (if (i32.eq (local.get $how) (i32.const 0x6e)) (then
    (i32.store (i32.const 512) (local.get $at)) (i32.store (i32.const 516) (local.get $n))
    (call $pause (i32.const 512) (i32.const 64))))
  (if (i32.eq (local.get $how) (i32.const 0x77)) (then
    (call $write (call $stdout) (local.get $at) (local.get $n) (i32.const 64))))
  ;; Whether it was told an error.
  (call $number (i64.load8_u (i32.const 64))))
