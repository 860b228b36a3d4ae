"""Recorded input and output: rosbag 1 and 2, types of messages, a writer; no rclpy."""
