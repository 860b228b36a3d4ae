"""The engine: cached scenes, prefill, decode, scoring, sampling, JSON."""
