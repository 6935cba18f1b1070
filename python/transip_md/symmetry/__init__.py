"""Exact symmetry for models that learned theirs: averages, the molecule's own frame, random rotations."""
