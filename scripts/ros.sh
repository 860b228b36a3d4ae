#!/bin/sh
# The ROS 2 node on a machine without a ROS distribution: rclpy from wheels and our interfaces, built
# into .venv. Afterwards `.venv/bin/oryx-scene node` talks to every ROS 2 machine on the network.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

make_venv
if reason=$(ros_wheels_missing); then
    fail "$reason"
fi
install_extras model,ros
install_interfaces
say "Ready: $venv/bin/oryx-scene node --params launch/scene.yaml    (docs/ros.md)"
