"""How fast a loaded model is on this machine: measured once in a few seconds, kept on disk.

The file maps model, device, precision and versions to rates, so that nothing measured elsewhere or
for other weights is ever used.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
from pathlib import Path

import numpy as np
import torch

from oryx_scene import __version__
from oryx_scene.model.api import Generation, Limits, Prompt, Rates, Stride, VisualItem
from oryx_scene.model.engine.engine import Engine
from oryx_scene.model.sizes import PATCH

HEIGHT, WIDTH, PICTURES = 224, 320, 2
NEW_TOKENS = 9
ROUNDS = 3


def measure_rates(engine: Engine) -> Rates:
    """Ask a made-up question a few times, the first for warm-up; nothing of it is kept.

    Raises:
        EngineError: the model failed.
    """
    found: list[Generation] = []
    for _ in range(ROUNDS + 1):
        engine.forget()
        found.append(engine.generate(_prompt(engine), Limits(max_new_tokens=NEW_TOKENS)))
    engine.forget()
    own = found[1:]
    patches = PICTURES * HEIGHT * WIDTH // PATCH**2
    steps = [max(1, len(one.token_ids) - 1) / max(one.timings_s["decode"], 1e-9) for one in own]
    return Rates(
        patches_per_s=patches / statistics.median(one.timings_s["encode"] for one in own),
        prefill_per_s=statistics.median(
            one.prompt_tokens / one.timings_s["prefill"] for one in own
        ),
        decode_per_s=statistics.median(steps),
    )


def _prompt(engine: Engine) -> Prompt:
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH, 3)
    pictures = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(PICTURES))
    if engine.model.compressor_trained:
        return Prompt("", (VisualItem(pictures, Stride.VIDEO), "\n" + "word " * 100), "What?")
    item = VisualItem(pictures[:1], Stride.IMAGE, (HEIGHT, WIDTH))
    return Prompt("", (item, "\n" + "word " * 100), "What?")


def rates_key(engine: Engine) -> str:
    """All that rates depend on: model, device, precision, threads and versions."""
    card, device = engine.card, engine.model.device
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return "|".join(
        (
            card.name,
            card.revision,
            place,
            f"{torch.get_num_threads()} threads",
            card.dtype,
            card.quantization,
            card.attention,
            card.linear,
            f"torch {torch.__version__}",
            f"oryx_scene {__version__}",
        )
    )


def cpu_name() -> str:
    """The processor as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def rates_file() -> Path:
    """Where measured rates are kept: the user's cache folder (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "oryx_scene" / "rates.json"


def rates_of(engine: Engine, file: Path) -> Rates:
    """Rates kept in ``file`` for this engine, measured and kept there if it has none.

    A file that cannot be read or written costs a measurement each time, never an answer.
    """
    key = rates_key(engine)
    kept = _read(file)
    try:
        return Rates(**kept[key])
    except (KeyError, TypeError, ValueError):
        rates = measure_rates(engine)
    kept[key] = dataclasses.asdict(rates)
    _write(file, kept)
    return rates


def _read(file: Path) -> dict[str, dict[str, float]]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(file: Path, value: dict[str, dict[str, float]]) -> None:
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError:
        # Nothing is lost but the time to measure again.
        return
