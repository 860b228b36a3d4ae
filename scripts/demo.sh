#!/bin/sh
# First command of the README: sets up .venv and runs the main job on a recorded real scene.
# Pictures and JSON end in out/demo. Safe to run again; the second run only runs the demo.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

make_venv
install_extras model
out=$root/out/demo
mkdir -p "$out"
oryx() { "$venv/bin/oryx-scene" "$@"; }

say "A real office, recorded by a moving RGB-D camera, as a ROS 2 bag"
rm -rf "$out/office"
oryx convert "$root/tests/data/office_rgbd" "$out/office"

say "What is in the bag?  (oryx-scene check)"
oryx check "$out/office" || true

say "The same number on the same object in every view  (oryx-scene marks)"
oryx marks "$out/office" --out "$out/marks"

say "Questions about the scene  (oryx-scene ask)"
oryx ask "$out/office" --model "${MODEL:-random}" --out "$out/answers" --max-new-tokens 24 \
    -q "How far is mark 1 from mark 2?" \
    -q "What is left of mark 1?"

say "Look at the marked views: $out/marks/*.png, and at the answers: $out/answers/answers.json"
