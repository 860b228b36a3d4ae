"""Measures of marks and of answers against known truth."""
