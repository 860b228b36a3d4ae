"""The training recipe that makes the small default checkpoint."""
