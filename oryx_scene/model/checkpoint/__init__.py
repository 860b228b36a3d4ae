"""Checkpoint folders: strict loading, tokenizers, quantisation, memory need."""
