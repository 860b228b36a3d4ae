"""The same questions over many recordings, on one machine or a Ray cluster."""
