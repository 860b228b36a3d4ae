"""What the model will see: chosen views, token budget, placement, and the frozen scene."""
