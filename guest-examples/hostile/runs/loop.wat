;; 1. Computes for ever.
(func (export "run") (type $run) (loop br 0) unreachable)
