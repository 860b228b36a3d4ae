#!/bin/sh
# Second command of the README: sets up .venv with everything the tests need and runs them.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"

make_venv
install_extras model,dev
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
"$py" -m pytest -q -m "not ros" "$@"
