"""Where recorded frames come from: one protocol, a registry of kinds, one file per layout."""
