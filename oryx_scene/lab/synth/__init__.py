"""Analytic worlds ray-cast into posed RGB-D views with true ids and true answers."""
