"""Payloads become pixels or metres; whatever does not fit its own description is refused."""

import cv2
import numpy as np
import pytest

from oryx_scene.errors import ImageDecodeError
from oryx_scene.sources.bags.compressed import decode_compressed_depth, decode_compressed_image
from oryx_scene.sources.bags.decode import PICTURE_ENCODINGS, decode_depth, decode_image

RED = np.zeros((4, 6, 3), dtype=np.uint8)
RED[..., 0] = 200


def raw(pixels, padding=0):
    """(step, bytes) of an image with ``padding`` bytes after each row."""
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return padded.shape[1], padded.tobytes()


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RED),
        ("bgr8", RED[..., ::-1]),
        ("rgba8", np.dstack([RED, RED[..., :1]])),
        ("bgra8", np.dstack([RED[..., ::-1], RED[..., :1]])),
    ],
)
def test_colour_orders_and_row_padding(encoding, pixels, padding):
    step, data = raw(pixels, padding)
    assert np.array_equal(decode_image("cam", 4, 6, encoding, step, data), RED)


def test_sixteen_bits_in_both_byte_orders():
    grey = np.full((4, 6), 257 * 100, dtype=np.uint16)
    for big, order in ((False, "<u2"), (True, ">u2")):
        step, data = raw(grey.astype(order))
        found = decode_image("cam", 4, 6, "mono16", step, data, is_bigendian=big)
        assert (found == 100).all()


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_red_mosaic_is_red(pattern):
    mosaic = np.zeros((8, 8), dtype=np.uint8)
    at = pattern.index("r")
    mosaic[at // 2 :: 2, at % 2 :: 2] = 200
    found = decode_image("cam", 8, 8, f"bayer_{pattern}8", 8, mosaic.tobytes())
    assert found[4, 4].tolist() == [200, 0, 0]


@pytest.mark.parametrize("encoding", ["yuv422", "yuv422_yuy2", "nv12", "nv21"])
def test_grey_in_yuv_is_grey(encoding):
    rows = 12 if encoding.startswith("nv") else 8
    step = 8 if encoding.startswith("nv") else 16
    data = np.full(rows * step, 128, dtype=np.uint8)
    found = decode_image("cam", 8, 8, encoding, step, data)
    assert np.ptp(found[0, 0].astype(int)) <= 1
    assert 125 <= int(found[0, 0, 0]) <= 135


def test_depth_units_follow_the_encoding():
    step, data = raw(np.array([[0, 1500]], dtype="<u2"))
    found = decode_depth("cam", 1, 2, "16UC1", step, data)
    assert np.isnan(found[0, 0])
    assert found[0, 1] == pytest.approx(1.5)
    metres = np.array([[np.nan, np.inf, -1.0, 0.0, 2.25]], dtype="<f4")
    step, data = raw(metres)
    found = decode_depth("cam", 1, 5, "32FC1", step, data)
    assert np.isnan(found[0, :4]).all()
    assert found[0, 4] == 2.25


@pytest.mark.parametrize(
    ("height", "width", "encoding", "step", "size", "said"),
    [
        (4, 6, "rgb8", 17, 68, "step is 17"),
        (4, 6, "rgb8", 18, 71, "truncated"),
        (4, 6, "rgb8", 18, 73, "too long"),
        (0, 6, "rgb8", 18, 0, "6x0"),
        (4, 6, "purple12", 18, 72, "purple12"),
        (4, 6, "16UC1", 12, 48, "depth, not a picture"),
        (4, 5, "nv12", 5, 30, "even sizes"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(height, width, encoding, step, size, said):
    with pytest.raises(ImageDecodeError, match=said) as caught:
        decode_image("front", height, width, encoding, step, bytes(size))
    assert "front" in str(caught.value)
    assert caught.value.hint


def encoded(suffix, pixels=RED):
    return cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes()


def test_compressed_pictures():
    png = encoded(".png")
    assert np.array_equal(decode_compressed_image("cam", "bgr8; png compressed bgr8", png), RED)
    swapped = decode_compressed_image("cam", "rgb8; png compressed rgb8", png)
    assert np.array_equal(swapped, RED[..., ::-1])
    assert abs(int(decode_compressed_image("cam", "jpeg", encoded(".jpg"))[1, 1, 0]) - 200) < 8


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_cut_off_pictures_are_refused(suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(suffix, noise)
    for cut in (0, 3, len(data) // 2, len(data) - 3):
        with pytest.raises(ImageDecodeError):
            decode_compressed_image("cam", "", data[:cut])


def test_compressed_depth():
    steps = np.array([[0, 1500], [65535, 1]], dtype=np.uint16)
    png = cv2.imencode(".png", steps)[1].tobytes()
    found = decode_compressed_depth("cam", "16UC1; compressedDepth", bytes(12) + png)
    assert np.isnan(found[0, 0])
    assert found[0, 1] == pytest.approx(1.5)
    with pytest.raises(ImageDecodeError):
        decode_compressed_depth("cam", "16UC1; compressedDepth", encoded(".png"))


def test_mutated_payloads_raise_nothing_else():
    rng = np.random.default_rng(1)
    payloads = [encoded(".png"), encoded(".jpg"), raw(RED)[1]]
    for _ in range(300):
        data = bytearray(payloads[rng.integers(3)])
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(len(data))] = rng.integers(256)
        data = bytes(data[: rng.integers(1, len(data) + 1)])
        encoding = PICTURE_ENCODINGS[rng.integers(len(PICTURE_ENCODINGS))]
        height, width, step = (int(n) for n in rng.integers(-1, 30, 3))
        for decode in (
            lambda d=data: decode_compressed_image("cam", "jpeg", d),
            lambda d=data: decode_compressed_depth("cam", "32FC1; compressedDepth", d),
            lambda d=data, e=encoding, h=height, w=width, s=step: decode_image(
                "cam", h, w, e, s, d
            ),
        ):
            try:
                decode()
            except ImageDecodeError as err:
                assert str(err)
