"""Marks of what a detector found: records, segments, joined over views."""
