"""`oryx-scene check`: one screen, severity by code, and no "all is there" over half a recording."""

import dataclasses
import json

import numpy as np
import pytest
from folder_layouts import HEIGHT, WIDTH, K, write_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.cli.check import SCREEN_LINES, screen
from oryx_scene.cli.check import WIDTH as COLUMNS
from oryx_scene.cli.main import main
from oryx_scene.errors import ImageDecodeError
from oryx_scene.records import Frame, Intrinsics
from oryx_scene.sources.base import BaseSource, FrameStub
from oryx_scene.sources.check import check_source
from oryx_scene.warning import KINDS, Warning

MS = 1_000_000
WHOLE = Frame(
    "front",
    0,
    "cam",
    np.zeros((HEIGHT, WIDTH, 3), np.uint8),
    "",
    depth=np.full((HEIGHT, WIDTH), 2.0, np.float32),
    intrinsics=Intrinsics(K, HEIGHT, WIDTH),
    T_fixed_camera=np.eye(4),
    fixed_frame="map",
)


class Made(BaseSource):
    """Frames of given stamps, each like ``frame`` but for what ``bend`` changes by its serial."""

    def __init__(self, stamps_ms, bend=None, warnings=(), cameras=("front",), **kind):
        super().__init__(
            [
                FrameStub(name, ms * MS, ms * MS, f"/{name}", i)
                for name in cameras
                for i, ms in enumerate(stamps_ms)
            ],
            **kind,
        )
        self._bend = bend or {}
        self._warnings += warnings

    def load(self, stub):
        bent = self._bend.get(stub.serial, self._bend.get("all", {}))
        if bent is None:
            raise ImageDecodeError(stub.camera, "broken")
        return dataclasses.replace(WHOLE, camera=stub.camera, stamp_ns=stub.stamp_ns, **bent)

    def pose(self, stub):
        return self.load(stub).T_fixed_camera


def codes(report):
    return [finding["code"] for finding in report["findings"]]


def test_all_is_there_only_where_it_is():
    report = check_source(Made(range(0, 500, 100)), "bag")
    assert report["complete"] and report["ok"] and report["missing"] == {}
    assert screen(report)[-1] == "all is there: calibration, pose, depth and time"


@pytest.mark.parametrize(
    ("part", "bend", "kind"),
    [
        ("calibration", {"intrinsics": None}, {}),
        ("pose", {"T_fixed_camera": None}, {}),
        ("depth", {"depth": None}, {}),
        ("time", {}, {"counted": True}),
        ("time", {}, {"warnings": (Warning("no_stamps", "counted"),)}),
    ],
)
def test_each_part_that_is_not_there_is_named(part, bend, kind):
    report = check_source(Made(range(0, 500, 100), {"all": bend}, **kind), "bag")
    assert report["missing"] == {part: ["front"]} and not report["complete"]
    text = "\n".join(screen(report))
    assert f"not there: {part}" in text and "all is there" not in text


def test_a_part_that_only_one_of_the_frames_looked_at_lacks():
    """First, middle and last frame are looked at, no other."""
    for lacking, missing in ((0, True), (3, True), (5, True), (1, False), (2, False)):
        report = check_source(Made(range(0, 600, 100), {lacking: {"depth": None}}), "bag")
        assert ("depth" in report["missing"]) == missing, lacking


def test_severity_and_advice_come_from_the_code_and_never_from_words():
    harmless = Warning("no_stamps", "damage: no TF, no 3D places, left out, could be read")
    report = check_source(Made(range(0, 500, 100), warnings=[harmless]), "bag")
    assert report["ok"]
    assert report["findings"][0]["severity"] == "note"
    grave = Warning("no_tf", "everything is as it should be")
    report = check_source(Made(range(0, 500, 100), warnings=[grave]), "bag")
    assert not report["ok"] and not report["complete"]
    assert report["findings"][0]["advice"] == KINDS["no_tf"].advice
    # Those of frames too, and the camera is named.
    bend = {"all": {"warnings": (Warning("pose_unusable", "the pose file is missing"),)}}
    report = check_source(Made(range(0, 500, 100), bend), "bag")
    assert not report["ok"]
    assert [(f["code"], f["camera"]) for f in report["findings"]] == [("pose_unusable", "front")]


def test_a_gap_is_more_than_three_usual_ones():
    at_300 = [0, 100, 200, 300, 600, 700]
    assert codes(check_source(Made(at_300), "bag")) == []
    at_301 = [0, 100, 200, 300, 601, 701]
    report = check_source(Made(at_301), "bag")
    assert codes(report) == ["frames_missing"]
    assert report["findings"][0]["text"] == "a gap of 0.30 s at 10.0 Hz"


def test_stamps_that_only_count_are_not_judged():
    report = check_source(Made([0, 1000, 2000, 3000, 90000], counted=True), "p")
    assert codes(report) == []
    assert report["cameras"][0]["rate_hz"] is None


@pytest.mark.parametrize(
    ("metres", "code"),
    [(0.09, "depth_implausible"), (0.11, ""), (29.9, ""), (30.1, "depth_implausible")],
)
def test_depth_of_another_unit(metres, code):
    bend = {"all": {"depth": np.full((HEIGHT, WIDTH), metres, np.float32)}}
    assert set(codes(check_source(Made([0, 100], bend), "bag"))) == ({code} if code else set())


def test_frames_that_cannot_be_decoded():
    some = check_source(Made(range(0, 500, 100), {0: None}), "bag")
    assert codes(some) == ["frame_unreadable"] and some["cameras"][0]["width"] == WIDTH
    none = check_source(Made(range(0, 500, 100), {"all": None}), "bag")
    assert codes(none) == ["frame_unreadable", "no_frame"]
    assert set(none["missing"]) == {"calibration", "pose", "depth"}
    assert "no frame looked at can be decoded" in "\n".join(screen(none))


def test_what_changes_within_a_recording():
    bend = {4: {"T_fixed_camera": None, "rgb": np.zeros((10, 20, 3), np.uint8)}}
    report = check_source(Made(range(0, 500, 100), bend), "bag")
    assert codes(report) == ["size_changes", "poses_in_part"]
    assert "cover the end" in report["findings"][1]["text"]


def test_clocks_that_differ_by_more_than_a_second():
    for lag_ms, said in ((1000, False), (1001, True)):
        source = Made([0, 100], cameras=("a", "b"))
        source._stubs = tuple(
            dataclasses.replace(s, log_ns=s.log_ns + lag_ms * MS) if s.camera == "b" else s
            for s in source.stubs()
        )
        report = check_source(source, "bag")
        assert ("clocks_differ" in codes(report)) == said


finding = st.builds(
    lambda code, text, camera: dataclasses.asdict(Warning(code, text, camera=camera)),
    st.sampled_from(sorted(KINDS)),
    st.text(max_size=300),
    st.sampled_from(["", "front", "left"]),
)


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(1, 1500),
    findings=st.lists(finding, max_size=200),
    name=st.text(min_size=1, max_size=200),
)
def test_the_report_is_one_screen_whatever_there_is(count, findings, name):
    report = check_source(Made([0, 100]), name)
    report["cameras"] = [report["cameras"][0] | {"name": f"{name}{i}"} for i in range(count)]
    report["findings"] = findings
    report["complete"] = report["ok"] = False
    report["missing"] = {"depth": [f"{name}{i}" for i in range(count)]}
    lines = screen(report)
    assert len(lines) <= SCREEN_LINES
    assert all(len(line) <= COLUMNS and "\n" not in line for line in lines)
    assert lines[-1].endswith("depth")
    # What is worst is shown, whatever else is there.
    if any(item["severity"] == "problem" for item in findings):
        assert any(line.startswith("PROBLEM") for line in lines)


def test_723_pictures_are_one_screen(tmp_path, capsys):
    write_picture(tmp_path / "0.png")
    for index in range(1, 723):
        (tmp_path / f"{index}.png").symlink_to(tmp_path / "0.png")
    assert main(["check", str(tmp_path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) <= SCREEN_LINES
    assert "723 frames" in printed[2]
    assert "not there: calibration, pose, depth, time" in printed[-1]
    assert main(["check", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "oryx_scene/check/2"
    assert [camera["frames"] for camera in report["cameras"]] == [723]
    assert report["missing"]["time"] == ["camera"]
    assert {"code", "severity", "text", "advice"} <= set(report["findings"][0])
