"""Brightness patterns of surfaces: checker, stripes and smooth noise.

A pattern only darkens, so that a colour word stays true under it. Knows nothing of light.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from oryx_scene.lab.synth.solids import Float32, Pattern

KINDS = ("checker", "stripes", "noise")
_CELLS = 128


def brightness(pattern: Pattern, points: Float32) -> Float32:
    """Factor 1 - strength .. 1 of every point.

    Args:
        points: (n, 3) float32 surface points in the surface's own axes, metres.
    """
    if pattern.kind == "plain" or not len(points):
        return np.ones(len(points), np.float32)
    # A hair beside zero: a face that lies exactly on a cell's border would flicker.
    scaled = points * np.float32(1.0 / pattern.period_m) + np.float32(pattern.offset + 1e-3)
    if pattern.kind == "noise":
        dark = _noise_at(scaled)
    elif pattern.kind == "stripes":
        dark = np.floor(scaled[:, 0] + scaled[:, 2]) % 2
    else:
        dark = np.floor(scaled).sum(axis=1) % 2
    return np.asarray(1.0 - np.float32(pattern.strength) * dark, dtype=np.float32)


@functools.cache
def _lattice() -> Float32:
    """Fixed random values; worlds differ by where they look into it."""
    values = np.random.default_rng(7).random((_CELLS, _CELLS), dtype=np.float32)
    return np.pad(values, (0, 1), mode="wrap")


def _noise_at(scaled: Float32) -> Float32:
    """Smoothly interpolated values 0..1 of three coordinates folded into two."""
    x = np.mod(scaled[:, 0] + np.float32(0.71) * scaled[:, 2], _CELLS).astype(np.float32)
    y = np.mod(scaled[:, 1] + np.float32(0.53) * scaled[:, 2], _CELLS).astype(np.float32)
    # remap takes pictures of at most 32767 rows, so the points are laid out as a picture.
    width = 256
    rows = -(-x.size // width)
    padding = rows * width - x.size
    maps = [np.pad(a, (0, padding)).reshape(rows, width) for a in (x, y)]
    found = cv2.remap(_lattice(), maps[0], maps[1], cv2.INTER_LINEAR)
    return np.asarray(found.reshape(-1)[: x.size], dtype=np.float32)
