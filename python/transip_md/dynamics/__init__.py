"""Does a model conserve energy? Constant-energy dynamics in every engine, and a verdict."""
