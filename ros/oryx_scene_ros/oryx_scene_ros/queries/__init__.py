"""From a request to a reply: queue, engine thread, scenes, services."""
