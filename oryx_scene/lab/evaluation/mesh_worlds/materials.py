"""What surfaces look like: pictures without seams, made of noise and drawn prints."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.records import FloatArray

Float32 = NDArray[np.float32]
SIZE = 256
_LETTERS = "AEIOURSTLNMDCPHBKGFVWXYZ0123456789"


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        kind: key of the makers below.
        rgb: 0..255 under full light.
        period_m: length of one repetition of its picture, metres.
        seed: of its picture.
        gloss: 0..1, strength of the highlight.
        glow: shines by itself: neither light nor shadow falls on it.
    """

    kind: str
    rgb: tuple[float, float, float]
    period_m: float = 0.5
    seed: int = 0
    gloss: float = 0.0
    glow: bool = False


def any_colour(
    rng: np.random.Generator, saturation: tuple[float, float] = (0.1, 0.85)
) -> tuple[float, float, float]:
    """A colour of any hue, 0..255."""
    hue, value = rng.uniform(0, 6), rng.uniform(0.3, 0.95)
    chroma = value * rng.uniform(*saturation)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    red, green, blue = 255 * (value - chroma + chroma * wheel)
    return float(red), float(green), float(blue)


def wood_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """From birch to walnut, 0..255."""
    share = rng.uniform(0, 1)
    red, green, blue = (1 - share) * np.array([222.0, 196, 158]) + share * np.array([92.0, 58, 38])
    return float(red), float(green), float(blue)


@functools.lru_cache(maxsize=96)
def picture(material: Material) -> Float32:
    """The repeating picture (SIZE, SIZE, 3) float32, 0..255."""
    rng = np.random.default_rng([material.seed, 17])
    colours = _MAKERS[material.kind](rng, np.array(material.rgb, dtype=float))
    return np.asarray(np.clip(colours, 4, 250), dtype=np.float32)


def _noise(rng: np.random.Generator, slope: float, stretch: float = 1.0) -> FloatArray:
    """Noise whose amplitude falls with frequency to the power ``slope``; mean 0, deviation 1."""
    fy = np.fft.fftfreq(SIZE)[:, None] * stretch
    fx = np.fft.rfftfreq(SIZE)[None, :]
    amplitude = np.maximum(np.hypot(fx, fy), 1 / SIZE) ** -slope
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * amplitude
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (SIZE, SIZE))
    return np.asarray(field / field.std())


def _tinted(rgb: FloatArray, level: FloatArray) -> FloatArray:
    return np.asarray(rgb * np.maximum(level, 0.05)[..., None])


def _plaster(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    return _tinted(rgb, 1 + 0.025 * _noise(rng, 1.2) + 0.012 * _noise(rng, 0.0))


def _smooth(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    return _tinted(rgb, 1 + 0.012 * _noise(rng, 1.0))


def _wood(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    grain = _noise(rng, 1.5, stretch=0.12)
    rings = np.sin(rng.uniform(4, 9) * _noise(rng, 2.2, stretch=0.25))
    return _tinted(rgb, 1 + 0.07 * grain + 0.09 * rings)


def _cloth(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    threads = np.arange(SIZE) * 2 * np.pi * 64 / SIZE
    weave = np.sin(threads)[:, None] * np.sin(threads)[None, :]
    return _tinted(rgb, 1 + 0.08 * weave + 0.07 * _noise(rng, 0.7))


def _plaid(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    out = _cloth(rng, rgb)
    for axis in (0, 1):
        for _ in range(3):
            start, width = rng.integers(SIZE), rng.integers(6, 50)
            rows = (start + np.arange(width)) % SIZE
            tint = np.array(any_colour(rng)) / 255
            lines = [slice(None), slice(None)]
            lines[axis] = rows  # type: ignore[call-overload]
            out[tuple(lines)] *= 0.45 + 0.65 * tint
    return out


def _stone(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    veins = 1 - np.abs(np.tanh(3 * _noise(rng, 1.9)))
    return _tinted(rgb, 1 + 0.1 * _noise(rng, 1.4) - 0.35 * veins**6)


def _speckle(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    out = _plaster(rng, rgb)
    for threshold in (1.6, 1.9, 2.1):
        out[_noise(rng, 0.6) > threshold] = any_colour(rng)
    return out


def _tiles(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    count = int(rng.integers(2, 5))
    cell = np.arange(SIZE) * count // SIZE
    shade = 1 + 0.06 * rng.standard_normal((count, count))[cell][:, cell]
    out = _tinted(rgb, shade + 0.04 * _noise(rng, 1.3))
    joint = (np.arange(SIZE) * count % SIZE) < 3 * count
    out[joint], out[:, joint] = rgb * 0.62, rgb * 0.62
    return out


def _boards(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    count = int(rng.integers(3, 7))
    cell = np.arange(SIZE) * count // SIZE
    out = _wood(rng, rgb) * (1 + 0.1 * rng.standard_normal(count))[cell][:, None, None]
    out[(np.arange(SIZE) * count % SIZE) < 2 * count] *= 0.55
    return out


def _paper(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    """Wallpaper: a motif that repeats."""
    out = _plaster(rng, rgb)
    motif = rgb * rng.uniform(0.75, 0.93) + rng.uniform(-12, 12, 3)
    step = SIZE // int(rng.integers(3, 6))
    for i, y in enumerate(range(step // 2, SIZE, step)):
        for x in range(step // 2, SIZE, step):
            spot = ((x + (i % 2) * step // 2) % SIZE, y)
            cv2.ellipse(out, spot, (step // 5, step // 3), 45 * (i % 2), 0, 360, motif.tolist(), -1)
    return out


def _print(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    """A printed cover: blocks of colour and lines of letters."""
    # OpenCV writes letters on 8 bits only.
    out = np.clip(_smooth(rng, rgb), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(2, 6))):
        x, y, w, h = (int(v) for v in rng.integers((0, 0, 20, 12), (200, 220, 160, 90)))
        cv2.rectangle(out, (x, y), (x + w, y + h), any_colour(rng), -1)
    for _ in range(int(rng.integers(3, 8))):
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(4, 12))))
        spot = (int(rng.integers(0, 120)), int(rng.integers(20, SIZE)))
        size, ink = float(rng.uniform(0.5, 1.8)), any_colour(rng)
        cv2.putText(out, text, spot, cv2.FONT_HERSHEY_DUPLEX, size, ink, 2, cv2.LINE_AA)
    return np.asarray(out, dtype=float)


def _metal(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    return _tinted(rgb, 1 + 0.05 * _noise(rng, 0.5, stretch=0.04))


def _leaf(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    ribs = np.abs((np.arange(SIZE) * 8 / SIZE) % 1 - 0.5)[None, :]
    return _tinted(rgb, 0.9 + 0.3 * ribs + 0.1 * _noise(rng, 1.3))


def _outdoors(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    """Sky over foliage, for what lies behind a window."""
    height = np.linspace(1, 0, SIZE)[:, None] + 0.08 * _noise(rng, 1.6)
    foliage = _tinted(np.array([70.0, 92, 52]), 1 + 0.35 * _noise(rng, 1.0))
    sky = _tinted(rgb, 1 + 0.08 * _noise(rng, 2.0))
    return np.asarray(np.where((height > 0.45)[..., None], sky, foliage))


_MAKERS = {
    "plaster": _plaster,
    "smooth": _smooth,
    "wood": _wood,
    "cloth": _cloth,
    "plaid": _plaid,
    "stone": _stone,
    "speckle": _speckle,
    "tiles": _tiles,
    "boards": _boards,
    "wallpaper": _paper,
    "print": _print,
    "metal": _metal,
    "leaf": _leaf,
    "outdoors": _outdoors,
}
