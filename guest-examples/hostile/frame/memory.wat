(memory (export "memory") 1)
