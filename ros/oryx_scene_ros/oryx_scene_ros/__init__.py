"""The ROS 2 node of oryx_scene: messages in, messages out; everything between is the library."""
