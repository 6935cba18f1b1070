"""Training of TransIP models from labelled structures."""
