"""The model file: its archive, what it says of itself, its weights, and what it may contain."""
