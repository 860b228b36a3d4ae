"""Pictures for people: windows, headless rendering, reports. One module imports Open3D."""
