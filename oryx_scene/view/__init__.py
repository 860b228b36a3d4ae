"""Pictures for people: Open3D, headless rendering, reports. Open3D is imported in one module only."""
