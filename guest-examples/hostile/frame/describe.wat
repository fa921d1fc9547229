;; An agent `hostile`, version `1`, with one function, `run`. What it says lies in the 4th KiB.
(data (i32.const 3072) "hostile1run")
(data (i32.const 3088) "\00\0c\00\00\07\00\00\00" "\07\0c\00\00\01\00\00\00" "\28\0c\00\00\01\00\00\00")
(data (i32.const 3112) "\08\0c\00\00\03\00\00\00")
(func (export "describe") (result i32) (i32.const 3088))
