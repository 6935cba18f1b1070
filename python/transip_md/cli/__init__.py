"""The command ``transip-md``: thin over the Python API; torch is imported inside the commands that need it."""
