"""Many questions over a recording, on the recording's own time, through the same pipeline."""
