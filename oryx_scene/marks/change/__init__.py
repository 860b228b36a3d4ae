"""What changed between two scenes, or while one was taken."""
