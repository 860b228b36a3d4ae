#!/bin/sh
# Second command of the README: sets up .venv with everything the tests need and runs them.
# With arguments (`sh scripts/test.sh tests/geometry`, `-k name`, ...) it only runs those tests, with what
# is installed already.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"

make_venv
install_extras model,dev,json,ray
if [ $# -gt 0 ]; then
    exec "$py" -m pytest -q "$@"
fi
screen_programs
say "Style and types"
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
# Types are judged with one version of numpy's stubs; Python 3.10 only has older ones.
if "$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    "$venv/bin/mypy"
else
    say "Types are not checked on Python 3.10: numpy's stubs there are too old"
fi
say "Tests"
"$py" -m pytest -q -m "not ros"

# The node on real rclpy and real DDS; discovery stays on this machine, in a domain of this run.
if reason=$(ros_wheels_missing); then
    say "The ROS 2 tests are left out: $reason"
    exit 0
fi
install_extras model,dev,json,ray,ros
install_interfaces
say "colcon build"
sh scripts/workspace.sh
say "Tests of the ROS 2 node"
ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-$((10 + $$ % 80))}
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
ROS_LOG_DIR=$root/out/ros_log
ORYX_SCENE_WORKSPACE=$root/out/ros_ws
export ROS_DOMAIN_ID ROS_AUTOMATIC_DISCOVERY_RANGE ROS_LOG_DIR ORYX_SCENE_WORKSPACE
"$py" -m pytest -q -m ros
