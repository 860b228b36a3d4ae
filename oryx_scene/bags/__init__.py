"""Recorded input and output: rosbag 1 and 2, posed RGB-D folders, plain pictures; no rclpy."""
