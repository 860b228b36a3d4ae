"""What was seen over hours and days: one folder that is written while a robot drives, and asked.

Places, times and "ago" come from rows of the store, never from a model (docs/remember.md).
"""
