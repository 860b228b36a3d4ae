"""The two-stage training recipe that makes the small default checkpoint."""
