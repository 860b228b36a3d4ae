"""From messages to frames: subscriptions, buffer, detections, the instance map."""
