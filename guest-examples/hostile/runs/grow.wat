;; 6. Takes memory until it is given no more, and writes to all of it. Sleeps for as many milliseconds as it has MiB, so
;; that it is replayed, which fails if it is given more or less then.
(func (export "run") (type $run)
  (loop $more
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then
      (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const -1))
      (br $more))))
  (call $sleep (i64.extend_i32_u (i32.shr_u (memory.size) (i32.const 4))))
  (call $number (i64.extend_i32_u (memory.size))))
