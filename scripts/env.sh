# Sourced by demo.sh and test.sh: finds Python, makes .venv in the repository, installs into it.
# Needs nothing but a POSIX shell; what is missing is installed with apt where that is allowed.

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Run apt-get as root, through sudo if there is one; say what to type otherwise.
apt_install() {
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "please install these system packages and run again: $*"
    fi
    if [ "$(id -u)" = 0 ]; then
        sudo_=""
    elif command -v sudo >/dev/null 2>&1; then
        sudo_="sudo"
    else
        fail "please run as root: apt-get install -y $*"
    fi
    say "Installing system packages: $*"
    $sudo_ env DEBIAN_FRONTEND=noninteractive apt-get update -qq || fail "apt-get update failed"
    $sudo_ env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >/dev/null || fail "apt-get install $* failed"
}

# apt_try WHAT PACKAGE...: installs where that needs no password; says what is left out where not.
apt_try() {
    what=$1
    shift
    if [ "$(id -u)" != 0 ] && ! sudo -n true >/dev/null 2>&1; then
        say "Left out: $what (apt-get install $*)"
    elif ! (apt_install "$@"); then
        say "Left out: $what"
    fi
}

# What the tests of pictures need beside Python: a browser, a virtual display, Open3D's libraries.
screen_programs() {
    (install_extras view) || say "Left out: tests with Open3D, which pip could not install"
    "$py" -c 'import open3d' >/dev/null 2>&1 ||
        apt_try "tests with Open3D" libusb-1.0-0 libgl1 libegl1 libgl1-mesa-dri
    command -v Xvfb >/dev/null 2>&1 && command -v xdotool >/dev/null 2>&1 ||
        apt_try "the test of the window" xvfb xdotool
    command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 ||
        apt_try "the test of the report in a browser" chromium
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

# make_venv: leaves the interpreter of the virtual environment in $py.
make_venv() {
    venv=${VENV:-$root/.venv}
    py=$venv/bin/python
    if [ -x "$py" ] && "$py" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    find_python || { apt_install python3 python3-venv; find_python; } ||
        fail "Python 3.10 or newer is needed; set PYTHON=/path/to/python3"
    # Debian and Ubuntu ship python3 without ensurepip; venv then fails half-way.
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv"
    fi
    say "Creating $venv"
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "cannot create a virtual environment in $venv"
}

# pip_install ARGS...: quiet, within the tested versions.
pip_install() {
    "$py" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$@" ||
        fail "pip install $* failed"
}

# TORCH=... says which build of torch to take, where the index's own (CUDA on Linux, 5 GB) is not wanted:
# a requirement (torch==2.13.0), a folder of wheels, or the address of an index, such as that of the CPU
# builds which pytorch.org names.
install_torch() {
    [ -n "${TORCH:-}" ] && ! "$py" -c 'import torch' >/dev/null 2>&1 || return 0
    say "Installing torch: $TORCH"
    case $TORCH in
        http://* | https://*) pip_install torch --index-url "$TORCH" ;;
        */*) pip_install torch --no-index --no-deps --find-links "$TORCH" ;;
        *) pip_install "$TORCH" ;;
    esac
}

# A marker file per set of extras makes the second run instant; it is void when pyproject changes.
install_extras() {
    extras=$1
    stamp=$venv/.installed-$(printf '%s' "$extras" | tr ',' '-')
    if [ -f "$stamp" ] && [ "$stamp" -nt "$root/pyproject.toml" ] &&
        [ "$stamp" -nt "$root/constraints.txt" ]; then
        return 0
    fi
    install_torch
    say "Installing oryx-scene with the extras: $extras"
    pip_install -e "$root[$extras]"
    : >"$stamp"
}

# -- ROS 2 without a ROS distribution ---------------------------------------------------------------

# Says why the ROS 2 wheels cannot be used here; says nothing and fails where they can.
ros_wheels_missing() {
    if [ -n "${ROS_DISTRO:-}" ]; then
        echo "ROS 2 $ROS_DISTRO is sourced: build the packages in ros/ with colcon instead (docs/ros_build.md)"
    elif [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
        echo "there are no ROS 2 wheels for $(uname -s) on $(uname -m)"
    elif ! "$py" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'; then
        echo "there are no ROS 2 wheels for this version of Python"
    else
        return 1
    fi
}

# What extension modules are compiled with: a C++ compiler and Python's headers.
need_compiler() {
    wanted=""
    command -v g++ >/dev/null 2>&1 || wanted="g++"
    if ! "$py" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
        wanted="$wanted python$("$py" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev"
    fi
    # Unquoted: a list of packages.
    [ -z "$wanted" ] || apt_install $wanted
}

# Builds the interfaces with pip into the virtual environment; done again when a file of them changed.
install_interfaces() {
    built=$venv/.built-ros-interfaces
    if [ -f "$built" ] &&
        [ -z "$(find "$root/ros/oryx_scene_msgs" "$root/ros/tf2_msgs_min" -type f -newer "$built")" ]; then
        return 0
    fi
    need_compiler
    say "Building the ROS 2 interfaces (a few minutes on two cores)"
    pip_install "$root/ros/tf2_msgs_min" "$root/ros/oryx_scene_msgs"
    : >"$built"
}
