"""Synchronising cameras and choosing views: numpy only, never reads a clock."""
