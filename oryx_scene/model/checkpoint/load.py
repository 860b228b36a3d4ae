"""From what a user calls a model to an engine that answers.

`default` is the checkpoint in this package, `random` a tiny untrained one, a folder is loaded as it
is, and only a hub id ("owner/name") that is no folder ever reaches the network.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from oryx_scene.errors import CheckpointError, ConfigError, MissingExtraError
from oryx_scene.model.api import ModelCard
from oryx_scene.model.checkpoint.checkpoint import DTYPES, load_model, vision_config
from oryx_scene.model.checkpoint.memory import Need, check_fits, free_bytes, loaded_bytes, predict
from oryx_scene.model.checkpoint.quant_linear import KINDS, describe
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint
from oryx_scene.model.checkpoint.sidecar_files import load_calibration, load_learnt
from oryx_scene.model.checkpoint.tokenizer import IM_END, HubTokenizer, TextTokenizer
from oryx_scene.model.checkpoint.weights import read_json, refuse_pointers
from oryx_scene.model.engine.device import check_device
from oryx_scene.model.engine.engine import Engine, EngineConfig, Stops
from oryx_scene.model.engine.shared_attention import half_sums
from oryx_scene.model.oryx.attention import choose_backend
from oryx_scene.model.oryx.language import (
    dropped_scaling,
    family_of,
    settled,
    silent_defaults,
)
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.warning import Warning

LOG = logging.getLogger(__name__)
DEFAULT_FOLDER = Path(__file__).parents[2] / "default_model"
WEIGHTS = "model.safetensors"
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def load_answerer(
    model: str = "default",
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    config: EngineConfig | None = None,
) -> Engine:
    """Load a model by the name a user gives it.

    Args:
        model: "default", "random", a checkpoint folder, or a hub id.
        device: "cpu", "cuda", "cuda:1"; None takes CUDA where there is one.
        dtype: "float32", "bfloat16", "float16"; None takes float32 on CPU, bfloat16 on CUDA and
            for quantised weights.
        quantization: "none", "int8" or "int4", of the language model's weights; None is "none".
        config: memory limits of the engine.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged.
        ConfigError: no such device or dtype.
        DeviceMemoryError: the model does not fit; nothing of it was read.
        MissingExtraError: a package that loading needs is not installed.
    """
    place = check_device(device)
    kind = quantization or "none"
    if kind not in KINDS:
        raise ConfigError(f"quantization '{kind}' is not known.", hint=f"one of {', '.join(KINDS)}")
    name = dtype or ("float32" if place.type == "cpu" and kind == "none" else "bfloat16")
    if name not in DTYPES:
        raise ConfigError(f"dtype '{name}' is not known.", hint=f"one of {', '.join(DTYPES)}")
    if model == "random":
        with tempfile.TemporaryDirectory(prefix="oryx-scene-random-") as folder:
            written = write_random_checkpoint(Path(folder))
            return _engine(written, model, place, name, kind, config)
    return _engine(find_folder(model), model, place, name, kind, config)


def find_folder(model: str) -> Path:
    """The checkpoint folder that ``model`` means; downloads only for a hub id.

    Raises:
        CheckpointError: nothing of that name.
        MissingExtraError: a hub id without the extra that downloads.
    """
    if model == "default":
        if not any((DEFAULT_FOLDER / name).exists() for name in ("config.json", WEIGHTS)):
            raise CheckpointError(
                DEFAULT_FOLDER,
                "this version of the package brings no default checkpoint.",
                hint="name a model: the folder of a published Oryx checkpoint, OUT/checkpoint of "
                "`oryx-scene train OUT`, or 'random' to try the way",
            )
        return DEFAULT_FOLDER
    folder = Path(model).expanduser()
    if folder.is_dir():
        refuse_pointers(folder)
        return folder
    if not HUB_ID.match(model) or folder.exists():
        raise CheckpointError(
            model, "no such folder.", hint="a checkpoint folder, a hub id, 'default' or 'random'"
        )
    return _download(model)


def _download(hub_id: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as err:
        raise MissingExtraError(
            "huggingface_hub", "hub", needed_for=f"downloading {hub_id}", cause=str(err)
        ) from err
    try:
        patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "oryx_vit.pth"]
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as err:
        raise CheckpointError(
            hub_id,
            f"it is no folder here and cannot be downloaded ({type(err).__name__}).",
            hint="check the name and the network, or download it elsewhere and give the folder",
        ) from err


def _engine(
    folder: Path,
    name: str,
    device: torch.device,
    dtype: str,
    quantization: str,
    config: EngineConfig | None,
) -> Engine:
    described = read_json(folder, "config.json")
    family = family_of(described, str(folder))
    need = refuse_what_cannot_fit(folder, described, device, DTYPES[dtype], quantization, name)
    model = load_model(folder, device=device, dtype=DTYPES[dtype], quantization=quantization)
    loaded = loaded_bytes(model)
    if abs(loaded - need.weights) > 0.02 * need.weights:
        LOG.warning("%s took %d bytes of weights, %d were predicted", name, loaded, need.weights)
    tokenizer = HubTokenizer(folder, family, model.language.config)
    assumed = silent_defaults(described, str(folder))
    sums = half_sums(device.type, DTYPES[dtype])
    own = described.get("oryx_scene", {})
    card = ModelCard(
        name=str(own.get("name", name)),
        revision=revision_of(folder),
        dtype=dtype,
        device=str(device),
        context_length=int(settled(described, str(folder))["max_position_embeddings"]),
        trained=bool(own.get("trained", True)),
        synthetic_only=bool(own.get("synthetic_only", False)),
        quantization=describe(model.language, quantization),
        attention=_attention(model),
        sums=sums,
        tokenizer=tokenizer.source,
        assumed=assumed,
        warnings=tuple(_doubts(described, folder, assumed, sums)),
        scratchpad=bool(own.get("scratchpad", False)),
        scratchpad_tokens=int(own.get("scratchpad_tokens", 128)) if own.get("scratchpad") else 0,
        calibration=load_calibration(folder),
        learnt=load_learnt(folder),
    )
    return Engine(model, tokenizer, card, stops_of(folder, tokenizer), config)


def _doubts(config: dict[str, Any], folder: Path, assumed: str, sums: str) -> Iterator[Warning]:
    """What goes with every answer of this model on this machine."""
    if assumed:
        yield Warning("model_settings_assumed", f"config.json is silent; assumed: {assumed}")
    if dropped_scaling(config, str(folder)):
        stated = config.get("rope_scaling") or config.get("rope_parameters")
        yield Warning("model_positions_not_scaled", f"config.json states {stated}")
    if sums != "float32":
        yield Warning("attention_sums_rounded", f"torch {torch.__version__}: sums are {sums}")


def refuse_what_cannot_fit(
    folder: Path,
    config: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    quantization: str,
    name: str,
) -> Need:
    """Compare what a checkpoint will need with what the device has free; returns the need.

    Raises:
        DeviceMemoryError: with the numbers, and a setting that would fit if there is one.
    """
    vision = vision_config(folder, config)
    half = torch.bfloat16 if dtype is torch.float32 else dtype
    need = predict(config, vision, dtype, quantization, device_type=device.type)
    free = free_bytes(device)
    if free is None or need.total <= free:
        return need
    others = {
        f"--quantization {kind}": predict(config, vision, half, kind, device_type=device.type)
        for kind in ("int8", "int4")
    }
    if dtype is torch.float32:
        plain = predict(config, vision, half, device_type=device.type)
        others = {"--dtype bfloat16": plain, **others}
    words = f"{dtype}".removeprefix("torch.")
    if quantization != "none":
        words += f" with {quantization} weights"
    check_fits(need, free, f"{name} in {words} on {device}", others)
    return need


def _attention(model: Oryx) -> str:
    width = model.vision.config.width // model.vision.config.heads
    return choose_backend(model.device.type, model.dtype, width)


def revision_of(folder: Path) -> str:
    """A short hash over the checkpoint's file names, sizes and config: what was loaded."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name}:{path.stat().st_size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(2**20))
    return digest.hexdigest()[:12]


def stops_of(folder: Path, tokenizer: TextTokenizer) -> Stops:
    """Stop ids and repetition penalty of a checkpoint.

    The end of a chat turn always stops: the Yi checkpoint's own file does not name it.
    """
    settings: dict[str, Any] = {}
    if (folder / "generation_config.json").exists():
        settings = read_json(folder, "generation_config.json")
    eos = settings.get("eos_token_id")
    ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
    try:
        return Stops(
            frozenset([*map(int, ids), tokenizer.special_id(IM_END)]),
            float(settings.get("repetition_penalty") or 1.0),
        )
    except (TypeError, ValueError) as err:
        raise CheckpointError(
            folder, f"generation_config.json holds something other than numbers ({err})."
        ) from err
