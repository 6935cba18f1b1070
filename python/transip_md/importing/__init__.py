"""Import of weights that another program has trained."""
