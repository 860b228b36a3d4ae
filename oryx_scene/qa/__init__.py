"""From a question to an answer record: pipeline, formats, wording, parsing, checks."""
