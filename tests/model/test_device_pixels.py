"""The resize on the device gives the reference's bytes, for any sizes, up and down."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.api import Limits, Prompt, Stride, VisualItem  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.engine import scene_reader  # noqa: E402
from oryx_scene.model.oryx.device_pixels import (  # noqa: E402
    make_taps,
    normalise_on_device,
    resize_on_device,
)
from oryx_scene.model.oryx.pixels import normalise  # noqa: E402
from oryx_scene.model.oryx.resample import resize  # noqa: E402

side = st.integers(1, 150)


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    # Hard edges overshoot: the clamp between the passes shows.
    noise[: height // 2, : width // 2] = 255 * rng.integers(0, 2, (height // 2, width // 2, 3))
    return noise


@settings(max_examples=60, deadline=None)
@given(side, side, side, side, st.integers(0, 9))
def test_every_byte_is_that_of_the_reference(height, width, new_height, new_width, seed):
    rgb = picture(height, width, seed)
    found = resize_on_device(torch.from_numpy(rgb), (new_height, new_width))
    assert np.array_equal(found.numpy(), resize(rgb, (new_height, new_width)))


@pytest.mark.parametrize("sizes", [((480, 640), (384, 512)), ((720, 1280), (288, 512))])
def test_camera_sizes(sizes):
    rgb = picture(*sizes[0])
    found = resize_on_device(torch.from_numpy(rgb), sizes[1])
    assert np.array_equal(found.numpy(), resize(rgb, sizes[1]))


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_the_sums_stay_inside_32_bits(size, wanted):
    for own in make_taps(size, min(wanted, 64)).weights:
        assert 255 * sum(map(abs, own)) + 2**21 < 2**31
        assert abs(sum(own) - 2**22) <= len(own)


def test_normalised_values_are_the_same_bits():
    rgb = picture(16, 32)
    assert torch.equal(normalise_on_device(torch.from_numpy(rgb)), normalise(rgb))


def test_the_engine_gives_the_same_answer_both_ways(monkeypatch):
    item = VisualItem((picture(96, 128),), Stride.IMAGE, (320, 416), ("p",))
    prompt = Prompt("", (item, "\n"), "?")
    host = load_answerer("random", device="cpu").generate(prompt, Limits(max_new_tokens=6))
    monkeypatch.setattr(scene_reader, "pixels_on_device", lambda device: True)
    device = load_answerer("random", device="cpu").generate(prompt, Limits(max_new_tokens=6))
    assert device.token_ids == host.token_ids


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_bytes():
    rgb = picture(480, 640)
    found = resize_on_device(torch.from_numpy(rgb).cuda(), (384, 512))
    assert np.array_equal(found.cpu().numpy(), resize(rgb, (384, 512)))
