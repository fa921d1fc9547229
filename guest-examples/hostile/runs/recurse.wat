;; 10. Calls itself until the stack is used up.
(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))
(func (export "run") (type $run) (call $deeper))
