"""Marks of views without depth: regions, tracks, viewing rays."""
