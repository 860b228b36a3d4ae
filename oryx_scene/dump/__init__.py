"""Questions kept with all that they rest on, so that the answer can be repeated bit for bit."""
