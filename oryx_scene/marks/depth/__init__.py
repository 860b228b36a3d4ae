"""Marks of views with depth and pose: segments, votes, instances."""
