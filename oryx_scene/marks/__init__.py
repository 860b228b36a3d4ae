"""Coarse correspondence: the same number on the same object in every view, and its relations."""
