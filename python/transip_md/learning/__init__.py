"""Active learning: a committee explores, a teacher labels what it is unsure of, and the committee learns from it."""
