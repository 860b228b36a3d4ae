#!/bin/sh
# First command of the README: sets up .venv, asks about a synthetic room, looks at a furnished office.
# Pictures and JSON end in out/demo. Safe to run again; the second run only runs the demo.
# MODEL=/path/to/checkpoint asks another model, and asks it about the office, too.
# RECORDING=/path shows a recording of yours (docs/sources.md) in place of the office, and asks about it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

make_venv
install_extras model
out=$root/out/demo
rm -rf "$out"
mkdir -p "$out"
model=${MODEL:-default}
oryx() { "$venv/bin/oryx-scene" "$@"; }

say "A synthetic room, seen by six cameras, as a ROS 2 bag; this is what is true about it  (oryx-scene room)"
# In 7 of the rooms 1 to 12 every thing is named rightly (docs/developing/measurements.md); this is one of them.
oryx room "$out/room" --seed 5

say "What is in the bag?  (oryx-scene check)"
oryx check "$out/room" || true

say "The same number on the same object in every view, and questions about them  (oryx-scene ask)"
oryx ask "$out/room" --model "$model" --max-new-tokens 60 --out "$out/room_answers" \
    -q "What colour is mark 2?" \
    -q "Describe the scene." \
    -q "How many boxes are there?" \
    -q "Seen from front, is mark 1 left of mark 2?" \
    -q "Which mark is nearest to mark 2?" \
    -q "How far is mark 3 from the camera front?"

recording=${RECORDING:-$out/office}
if [ -z "${RECORDING:-}" ]; then
    say "An office, recorded by a hand-held RGB-D camera with the noise of a real one  (oryx-scene room --furnished)"
    oryx room "$out/office" --furnished --seed 3
fi

say "Marks and measured places in $recording  (oryx-scene marks)"
oryx marks "$recording" --out "$out/marks"

say "The same in 3D, without a display  (oryx-scene view)"
oryx view "$recording" --png "$out/view.png" --show-views --renderer splat --size 960x480

if [ -n "${MODEL:-}${RECORDING:-}" ]; then
    say "Questions about $recording  (oryx-scene ask)"
    oryx ask "$recording" --model "$model" --max-new-tokens 60 --out "$out/answers" \
        -q "How far is mark 1 from mark 2?" \
        -q "What is left of mark 1?"
fi

say "Look at the marked views: $out/room_answers/*.png and $out/marks/*.png, at $out/view.png, and at the answers: $out/room_answers/answers.json"
