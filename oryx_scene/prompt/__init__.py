"""From views and a question to what the model sees, and back: budget, resize, wording, parsing."""
