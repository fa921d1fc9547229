;; 3. Computes for ever when the host asks for room for the input.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop br 0) unreachable)
(func (export "run") (type $run) (call $null))
