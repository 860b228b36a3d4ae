"""Run-length masks: what the COCO API packed is read, and nothing else is taken for one."""

import numpy as np
import pytest

from oryx_scene.marks.detections.run_length import read_runs

# Packed by pycocotools 2.0 of the masks that the tests below draw.
BLOCK = "=3300NN02200;"
RING = (
    "\\W11_3`0E6J6K4M2M4L4M2N2N2N2M4N0O2N2N2N2N2O0O2N2O0O2N2O0O2O0O2O000O2O0O2O000O2O000O2OeNnN0"
    "R1MTO0l0OVO0i00YO0f0O\\O0d00\\O0d0O^O0b00^O0a00A0>0B0>0B0>0B0>OD0<0D0<0D0<0D0<0D0<0D0<0D0<0D"
    "0;0G090E0<0D0<0D0<0D0<0D0<0D0<0D0<0D0<1B0>0B0>0B0>0B0?0_O0b00^O0b01\\O0d00\\O0d01ZO0g00WO0j0"
    "1TO0l03nN0R1[11N10001N10001N101N10001N101N101N2N101N2N101N2N2N2N2N102L3N2N2N2N3L4L3N3L5J6J"
    ";@T[3"
)


def test_a_block_with_a_hole():
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    mask[2, 4] = False
    found = read_runs([6, 9], BLOCK)
    assert (found.mask == mask).all()
    assert found.box == (2.0, 1.0, 6.0, 3.0)


def test_a_ring_of_many_runs():
    v, u = np.mgrid[:120, :160]
    mask = ((v - 60) / 45) ** 2 + ((u - 70) / 60) ** 2 <= 1
    mask &= ~(((v - 60) / 10) ** 2 + ((u - 70) / 20) ** 2 <= 1)
    assert (read_runs([120, 160], RING).mask == mask).all()


def test_full_and_empty_pictures():
    assert read_runs([3, 4], "0<").mask.all()
    assert not read_runs([3, 4], "<").mask.any()
    assert read_runs([3, 4], [0, 12]).mask.all()
    assert read_runs([3, 4], "<").box is None


@pytest.mark.parametrize(
    ("size", "counts", "said"),
    [
        ([3], [12], "size must be"),
        ("34", [12], "size must be"),
        ([3, True], [3], "size must be"),
        ([0, 4], [0], "no picture"),
        ([1 << 20, 1 << 20], [1], "no picture"),
        ([3, 4], [5, 5], "do not fill"),
        ([3, 4], [20, -8], "list of lengths"),
        ([3, 4], [5.0, 7], "list of lengths"),
        ([3, 4], None, "packed text"),
        ([3, 4], "<<", "do not fill"),
        ([3, 4], "0O", "do not fill"),
        ([3, 4], "0<\u20ac", "no packed text"),
        ([3, 4], "oooooooooo", "no packed text"),
        ([3, 4], "0l", "breaks off"),
    ],
)
def test_what_is_no_mask_is_refused(size, counts, said):
    with pytest.raises(ValueError, match=said):
        read_runs(size, counts)
