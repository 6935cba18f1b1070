"""How long a step takes, in the model alone and in every engine."""
