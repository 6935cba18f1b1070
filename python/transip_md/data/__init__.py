"""Structures and labelled frames: reading them, their neighbours, bonds, charge and multiplicity."""
