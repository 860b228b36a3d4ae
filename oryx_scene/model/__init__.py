"""The Oryx model: `api` and `sizes` need no torch; `oryx`, `checkpoint` and `engine` do."""
