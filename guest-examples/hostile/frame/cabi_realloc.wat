;; Takes memory and never gives it back. The first 4 KiB are the guest's own.
(global $heap (mut i32) (i32.const 4096))
(func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $bytes i32) (result i32)
  (local $at i32)
  (global.set $heap (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                             (i32.sub (i32.const 0) (local.get $align))))
  (local.set $at (global.get $heap))
  (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
  (block $enough
    (loop $more
      (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
      unreachable))
  (local.get $at))
