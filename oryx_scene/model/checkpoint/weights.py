"""Tensors of a checkpoint folder, read in pieces so that hardly more than the result is in memory.

A mapped file counts as the process's own memory until it is unmapped; each piece is therefore read
through a mapping of its own. Pickles are only ever read with `weights_only=True`. Knows published
names, shapes and bytes; what they mean is decided in `checkpoint`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oryx_scene.errors import CheckpointError, MissingExtraError
from oryx_scene.file_kind import LFS_POINTER, file_kind

VIT_PREFIX = "model.vision_tower.vision_tower."
VIT_FILE = "oryx_vit.pth"
# The separate vision file still carries SigLIP's final norm and pooling head, which Oryx drops.
VIT_UNUSED = ("norm.", "attn_pool.")
PIECE_BYTES = 32 * 2**20
FLOATS = ("F64", "F32", "F16", "BF16")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One JSON object of a checkpoint folder.

    Raises:
        CheckpointError: absent, unreadable or no object.
    """
    path = folder / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise CheckpointError(
            folder, f"there is no {name}.", hint="give the folder as it was published"
        ) from err
    except (OSError, ValueError) as err:
        raise CheckpointError(folder, f"{name} cannot be read: {err}.") from err
    if not isinstance(value, dict):
        raise CheckpointError(folder, f"{name} holds no JSON object.")
    return value


def refuse_pointers(folder: Path) -> None:
    """A clone without git-lfs holds small text files of the right names; none of them is parsed.

    Raises:
        CheckpointError: there are such files.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    pointers = [path.name for path in files if file_kind(path) is LFS_POINTER]
    if pointers:
        what = f"{', '.join(pointers)}: {LFS_POINTER.description}."
        raise CheckpointError(folder, what, hint=LFS_POINTER.hint)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, from its index where there is one.

    Raises:
        CheckpointError: none, or one that the index names is not there.
    """
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json(folder, index.name).get("weight_map")
        if not isinstance(weight_map, dict):
            raise CheckpointError(folder, f"{index.name} holds no weight_map.")
        names = sorted({str(name) for name in weight_map.values()})
        gone = [name for name in names if not (folder / name).exists()]
        if gone or not names:
            raise CheckpointError(folder, "the index names files that are not there.", missing=gone)
        return [folder / name for name in names]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError(
            folder,
            "there are no *.safetensors files.",
            hint="pickled .bin weights are not read; convert them to safetensors",
        )
    return files


class WeightReader:
    """Names, shapes and values of a folder's tensors.

    Args:
        folder: a checkpoint folder.

    Raises:
        CheckpointError: a file that is no safetensors file, or a name that two files hold.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for path in weight_files(folder):
            self._list(path)
        self._vit = self._separate_vit()

    def _list(self, path: Path) -> None:
        with self._open(path) as handle:
            for name in handle.keys():  # noqa: SIM118 - no mapping
                if name in self._files:
                    raise CheckpointError(self.folder, f"two files hold the tensor {name}.")
                described = handle.get_slice(name)
                if described.get_dtype() not in FLOATS:
                    raise CheckpointError(
                        self.folder,
                        f"{name} holds {described.get_dtype()}, plain floats were expected.",
                        hint="quantised weights are not read; get the original checkpoint",
                    )
                self._files[name] = path
                self.shapes[name] = tuple(described.get_shape())

    def _open(self, path: Path) -> Any:
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError as err:
            raise MissingExtraError(
                "safetensors", "model", needed_for="reading weights", cause=str(err)
            ) from err
        try:
            return safe_open(path, framework="pt")
        except (SafetensorError, OSError) as err:
            raise CheckpointError(
                self.folder, f"{path.name} is damaged: {err}.", hint="copy the file again"
            ) from err

    def _separate_vit(self) -> dict[str, Tensor]:
        """The vision tower of ``oryx_vit.pth``, under published names, if the shards lack it."""
        inside = any(name.startswith(VIT_PREFIX) for name in self.shapes)
        path = self.folder / VIT_FILE
        if inside or not path.exists():
            return {}
        named = {VIT_PREFIX + name: value for name, value in read_vit_file(path).items()}
        self.shapes.update({name: tuple(value.shape) for name, value in named.items()})
        return named

    def names(self) -> list[str]:
        """Every name, those first whose tensors already occupy memory."""
        return [*self._vit, *self._files]

    def read(self, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
        """One tensor on ``device``, in memory of its own. Those of the pickle can be read once."""
        if name in self._vit:
            return self._vit.pop(name).to(device=device, dtype=dtype)
        shape = self.shapes[name]
        out = torch.empty(shape, device=device, dtype=dtype)
        if not shape or out.numel() * out.element_size() <= PIECE_BYTES:
            with self._open(self._files[name]) as handle:
                return out.copy_(handle.get_tensor(name))
        rows = max(1, PIECE_BYTES * shape[0] // (out.numel() * out.element_size()))
        for start in range(0, shape[0], rows):
            with self._open(self._files[name]) as handle:
                piece = handle.get_slice(name)[start : start + rows]
                out[start : start + rows].copy_(piece)
                del piece
        return out


def read_vit_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a separate vision file that Oryx uses; the unused head is left out.

    Raises:
        CheckpointError: not a file of plain tensors (a pickle with code in it is never run).
    """
    import pickle

    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as err:
        # torch's message explains how to run the code in the file; ours must not.
        raise CheckpointError(
            path.parent,
            f"{path.name} holds something other than plain tensors, or is damaged "
            f"({type(err).__name__}); it was not run.",
            hint="get the file again from where it was published",
        ) from err
    if not isinstance(value, dict) or not all(
        isinstance(v, Tensor) and v.is_floating_point() for v in value.values()
    ):
        raise CheckpointError(path.parent, f"{path.name} holds no dictionary of float tensors.")
    return {name: v for name, v in value.items() if not name.startswith(VIT_UNUSED)}
