"""The laboratory: synthetic worlds, training, evaluation and measurements; no robot needs it."""
