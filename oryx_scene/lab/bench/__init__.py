"""Measuring the engine: every number beside a limit or a baseline of the same run."""
