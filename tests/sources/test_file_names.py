"""Names of picture files: order, stamps and pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.sources.file_names import (
    is_depth_name,
    natural_key,
    pair_key,
    stamps_from_names,
)

S = 1_000_000_000


def test_natural_order():
    names = ["10.png", "9.png", "a2", "A10", "a1", "1.png", "01.png"]
    assert sorted(names, key=natural_key) == [
        "01.png",
        "1.png",
        "9.png",
        "10.png",
        "a1",
        "a2",
        "A10",
    ]


@given(st.lists(st.integers(0, 10**12), unique=True, min_size=2), st.sampled_from(["", "frame_"]))
def test_numbered_names_are_in_the_order_of_their_numbers(numbers, prefix):
    names = sorted((f"{prefix}{n}.png" for n in numbers), key=natural_key)
    assert names == [f"{prefix}{n}.png" for n in sorted(numbers)]


@pytest.mark.parametrize(
    ("stem", "stamp_ns"),
    [
        ("1341847980.722988", 1341847980 * S + 722988000),
        ("rgb_1341847980.7", 1341847980 * S + 700000000),
        ("left_1341847980_722988123", 1341847980 * S + 722988123),
        ("1341847980-722", 1341847980 * S + 722000000),
        ("1341847980", 1341847980 * S),
        ("1341847980722", 1341847980 * S + 722000000),
        ("1403636579763555", 1403636579 * S + 763555000),
        ("1403636579763555584", 1403636579763555584),
        ("315969904359876000", 315969904359876000),
        ("n015-2018-07-24-11-22-45+0800__CAM_FRONT__1532402927612460", 1532402927612460 * 1000),
        ("2024-05-01T12-30-15.250", 1714566615 * S + 250000000),
        ("2024-05-01 12:30:15", 1714566615 * S),
        ("IMG_20240501_123015", 1714566615 * S),
        ("PXL_20240501_123015250", 1714566615 * S + 250000000),
        ("2024-05-01T14-30-15+0200", 1714566615 * S),
        ("20240501T123015Z", 1714566615 * S),
        ("12.500", 12 * S + 500000000),
    ],
)
def test_stamps(stem, stamp_ns):
    assert stamps_from_names([stem]) == [stamp_ns]


@pytest.mark.parametrize(
    "stems",
    [
        ["000001", "000002"],
        ["frame-000123.color"],
        ["20240501"],
        ["IMG_20241301_123015"],  # there is no month 13
        ["9341847980", "9341847981"],  # in the year 2266
        ["1341847980.5", "cover"],  # all or none
        ["IMG_20240501_123015(1)", "IMG_20240501_123015(2)"],  # one stamp for two pictures
        ["DSC_0012"],
        ["12345678901234567890123"],
    ],
)
def test_what_is_no_stamp(stems):
    assert stamps_from_names(stems) is None


@given(st.integers(10**18, 4 * 10**18 - 1))
def test_every_notation_of_a_stamp_is_read_alike(stamp_ns):
    seconds, rest = divmod(stamp_ns, S)
    assert stamps_from_names([f"{stamp_ns}"]) == [stamp_ns]
    assert stamps_from_names([f"{seconds}.{rest:09d}"]) == [stamp_ns]
    assert stamps_from_names([f"{stamp_ns // 1000}"]) == [stamp_ns // 1000 * 1000]
    assert stamps_from_names([f"{stamp_ns // 10**6}"]) == [stamp_ns // 10**6 * 10**6]


def test_what_belongs_together():
    assert pair_key("1_depth") == pair_key("1_color") == pair_key("1") == ("1",)
    assert pair_key("depth000012") == pair_key("frame000012") == ("000012",)
    assert pair_key("frame-000012.color") == pair_key("frame-000012.pose")
    assert pair_key("left_1") != pair_key("right_1_depth")
    assert is_depth_name("frame-000012.DEPTH") and not is_depth_name("indepth12")
