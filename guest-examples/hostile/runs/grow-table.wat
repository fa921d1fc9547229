;; 9. Wants a table of nine million elements, and then as many as it can get, a thousand at a time. Returns how many.
(table $t 1 funcref)
(func (export "run") (type $run)
  (if (i32.ne (table.grow $t (ref.null func) (i32.const 9000000)) (i32.const -1)) (then unreachable))
  (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
  (call $number (i64.extend_i32_u (table.size $t))))
