"""Which device and precision a model runs on, and the names people use for them."""

from __future__ import annotations

import torch

from oryx_scene.errors import ConfigError


def check_device(name: str | None) -> torch.device:
    """The device called ``name``; None takes CUDA where there is a usable one.

    Raises:
        ConfigError: no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as err:
        raise ConfigError(f"'{name}' is no device.", hint="e.g. cpu, cuda or cuda:1") from err
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ConfigError(
            f"there is no device '{name}': torch sees {torch.cuda.device_count()} CUDA devices.",
            hint="use --device cpu, or install a torch build that fits the GPU",
        )
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device '{name}' is not supported.", hint="cpu or cuda")
    return device
