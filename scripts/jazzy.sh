#!/bin/sh
# The node's tests on rclpy 7.1 (ROS 2 Jazzy) from wheels; sh scripts/test.sh runs them on 9.1 (Kilted).
# In an environment of its own, out/jazzy; arguments go to pytest. x86_64 Linux.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

jazzy=$root/out/jazzy
VENV=$jazzy/venv
make_venv
if reason=$(ros_wheels_missing); then
    fail "$reason"
fi
need_compiler
install_torch
if [ ! -f "$jazzy/.installed" ] || [ "$root/ros/jazzy_requirements.txt" -nt "$jazzy/.installed" ]; then
    say "Installing oryx-scene and the wheels of ROS 2 Jazzy"
    pip_install -e "$root[model,dev,json]" -r "$root/ros/jazzy_requirements.txt"
    : >"$jazzy/.installed"
fi
# What another environment left behind must not be seen.
PATH=$venv/bin:$PATH
export PATH
unset PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
for name in tf2_msgs_min oryx_scene_msgs; do
    say "Building $name (a few minutes on two cores)"
    cmake -G Ninja -S "$root/ros/$name" -B "$jazzy/$name" -DCMAKE_INSTALL_PREFIX="$venv" \
        -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$py" \
        -DCMAKE_PROJECT_INCLUDE="$root/ros/$name/wheel_paths.cmake" >"$jazzy/$name.log" 2>&1 &&
        cmake --build "$jazzy/$name" >>"$jazzy/$name.log" 2>&1 &&
        cmake --install "$jazzy/$name" >>"$jazzy/$name.log" 2>&1 ||
        { tail -40 "$jazzy/$name.log" >&2; fail "building $name failed"; }
done
say "Tests of the ROS 2 node on $("$py" -m pip show ros-rclpy | sed -n 's/^Version: /rclpy /p')"
cd "$root"
exec "$py" -m pytest -q -m ros "$@"
