"""A bounded map of instances that keeps their numbers while the robot moves."""
