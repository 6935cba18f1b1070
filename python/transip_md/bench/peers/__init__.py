"""What else could drive the same simulation, each in a Python environment of its own that the benchmark makes."""
