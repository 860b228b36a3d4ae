"""The Oryx model in torch: vision tower, compressor, projector, language model and engine."""
