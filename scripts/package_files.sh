#!/bin/sh
# Copies launch/, calib/ and the licence into the ROS 2 packages, which must build without the rest of the
# repository (bloom exports each folder alone). A test keeps them equal; what is here is what is edited.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for folder in launch calib; do
    rm -rf "$root/ros/oryx_scene_ros/$folder"
    mkdir "$root/ros/oryx_scene_ros/$folder"
    for file in "$root/$folder"/*.*; do
        cp -p "$file" "$root/ros/oryx_scene_ros/$folder/"
    done
done
for package in oryx_scene_ros oryx_scene_msgs tf2_msgs_min; do
    cp -p "$root/LICENSE" "$root/ros/$package/LICENSE"
done
