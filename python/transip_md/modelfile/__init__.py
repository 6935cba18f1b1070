"""The model file: its archive, its metadata, its weights, and what it may contain."""
