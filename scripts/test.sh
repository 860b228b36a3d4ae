#!/bin/sh
# Second command of the README: sets up .venv with everything the tests need and runs them.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"

make_venv
install_extras model,dev
say "Style and types"
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
say "Tests"
"$py" -m pytest -q -m "not ros" "$@"
