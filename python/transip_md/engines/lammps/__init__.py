"""LAMMPS: runs of the ``lmp`` program, and its Python module."""
