"""What the node says: publishers, feedback, status, diagnostics."""
