"""From views and a question to what the model sees: budget, resize, wording, and reading the answer back."""
