"""The Oryx architecture: vision tower, compressor, projector, language model, prompt layout."""
