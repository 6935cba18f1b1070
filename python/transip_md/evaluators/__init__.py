"""What evaluates a model file in Python: libtransip's kernels through its C API, or torch."""
