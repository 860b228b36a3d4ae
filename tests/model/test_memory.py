"""Loading needs hardly more memory than the checkpoint has bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from safetensors.torch import save_file  # noqa: E402

from oryx_scene.model.checkpoint.checkpoint import published_name  # noqa: E402
from oryx_scene.model.checkpoint.random_model import VISION, random_oryx, tiny_config  # noqa: E402

# Everything is imported and exercised once before; what is measured is the load alone.
MEASURE = """
import sys
from pathlib import Path
import torch
from oryx_scene.model.checkpoint.checkpoint import load_model
small, big = sys.argv[1:]
def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
load_model(small, dtype=torch.bfloat16)
before = kilobytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
load_model(big, dtype=torch.bfloat16)
print((kilobytes("VmHWM") - before) * 1024)
"""


def write(folder, **sizes):
    folder.mkdir()
    config = {**tiny_config(), **sizes}
    model = random_oryx(config, VISION, 0).to(torch.bfloat16)
    tensors = {published_name(name): value for name, value in model.state_dict().items()}
    (folder / "config.json").write_text(json.dumps(config))
    # Two shards, the largest tensor (the embedding) in the last one.
    names = sorted(tensors, key=lambda name: tensors[name].numel())
    half = len(names) // 2
    weight_map = {}
    for part, own in enumerate((names[:half], names[half:])):
        save_file({n: tensors[n] for n in own}, folder / f"model-{part}.safetensors")
        weight_map.update(dict.fromkeys(own, f"model-{part}.safetensors"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return sum(tensor.numel() * 2 for tensor in tensors.values())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_peak_while_loading(tmp_path):
    write(tmp_path / "small")
    size = write(
        tmp_path / "big", hidden_size=512, intermediate_size=2048, vocab_size=80_000,
        num_hidden_layers=6, num_attention_heads=8,
    )  # fmt: skip
    assert size > 200e6
    script = [sys.executable, "-c", MEASURE, str(tmp_path / "small"), str(tmp_path / "big")]
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) <= 1.15 * size
