"""Export of a checkpoint to a model file that engines load."""
