"""The report: one file, no network, hostile words stay words; opened and used in a real browser."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "view"))

from chromium import find_chromium, open_page
from parrot import parrot_answerer, replay_wall

from oryx_scene.records import Question
from oryx_scene.replay.questions import AskedQuestion
from oryx_scene.replay.steps import ReplayStory

pytest.importorskip("plotly", reason="the extra 'view' is not installed")

from oryx_scene.view.report import report_data, write_report

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
ENTRIES = (
    AskedQuestion("near", Question("What is near?")),
    AskedQuestion("bad", Question(HOSTILE)),
    AskedQuestion("fails", Question("Please FAIL now")),
)


@pytest.fixture(scope="module")
def story(wall_bag, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "replay"
    replay_wall(wall_bag, folder, parrot_answerer(fails_on="FAIL"), ENTRIES, every_s=3.0)
    return ReplayStory(folder)


@pytest.fixture(scope="module")
def page_file(story):
    path = story.folder.parent / "report.html"
    assert write_report(story, path) == path.stat().st_size
    return path


def embedded(path):
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_the_page_holds_everything_and_refers_to_nothing(page_file):
    text = page_file.read_text(encoding="utf-8")
    head = text[: text.index("<script>/**")] if "<script>/**" in text else text[:6000]
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", head)
    assert "connect-src 'none'" in text and "default-src 'none'" in text
    data = embedded(page_file)
    assert len(data["answers"]) == 9
    assert [answer["at_s"] for answer in data["answers"]] == sorted(
        answer["at_s"] for answer in data["answers"]
    )
    good = next(answer for answer in data["answers"] if answer["id"] == "near")
    assert {"evidence", "timings_s", "warnings", "provenance", "marks"} <= set(good)
    assert len(data["scenes"]) == 3
    for scene in data["scenes"].values():
        assert all(view["src"].startswith("data:image/jpeg;base64,") for view in scene["views"])


def test_twenty_answers_stay_under_ten_megabytes(wall_bag, tmp_path):
    replay_wall(wall_bag, tmp_path / "r", parrot_answerer(), ENTRIES[:2], every_s=0.6)
    story = ReplayStory(tmp_path / "r")
    assert len(story) >= 20
    assert write_report(story, tmp_path / "report.html") < 10_000_000


def test_pictures_shrink_until_they_fit_their_budget(story, monkeypatch):
    monkeypatch.setattr("oryx_scene.view.report.PICTURE_BUDGET", 60_000)
    monkeypatch.setattr("oryx_scene.view.report.CLOUD_BUDGET", 12_000)
    data = report_data(story)
    sources = [view["src"] for scene in data["scenes"].values() for view in scene["views"]]
    assert sum(map(len, sources)) <= 60_000
    counts = [scene["cloud"]["count"] for scene in data["scenes"].values()]
    assert all(0 < count <= 12_000 // 3 // 12 for count in counts)


def test_points_come_back_to_within_their_steps(story):
    import base64

    step, data = story[0], report_data(story)
    cloud = data["scenes"][story.records[0]["scene"]]["cloud"]
    steps = np.frombuffer(base64.b64decode(cloud["points"]), "<i2").reshape(-1, 3)
    points = np.array(cloud["middle"]) + steps * cloud["scale"]
    stride = -(-len(step.snapshot.cloud.points) // cloud["count"])
    np.testing.assert_allclose(points, step.snapshot.cloud.points[::stride], atol=cloud["scale"])


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed")
def test_in_a_real_browser(page_file):
    with open_page(page_file.as_uri()) as page:
        page.wait_for("document.body && document.body.dataset.plot === 'drawn'")
        assert page.run("document.querySelectorAll('#list button').length") == 9
        assert page.run("document.querySelectorAll('#line circle').length") == 9
        assert page.run("document.querySelectorAll('#line circle.error').length") == 3
        _check_first_answer(page)
        _check_turning(page)
        _check_stepping(page)
        assert page.run("window.hacked") is None
        assert page.problems() == []
        wanted = ("file:", "data:", "blob:")
        assert [url for url in page.requested() if not url.startswith(wanted)] == []


def _check_first_answer(page):
    assert "What is near?" in page.run("document.getElementById('words').textContent")
    assert "Mark 1, " in page.run("document.getElementById('words').textContent")
    images = "[...document.querySelectorAll('#views img')]"
    page.wait_for(f"{images}.every(i => i.complete)")
    assert page.run(f"{images}.map(i => i.naturalWidth)") == [160, 160]
    for table, wanted in (
        ("evidence", "front"),
        ("marks", "2.00"),
        ("timings", "marks"),
        ("provenance", "parrot"),
    ):
        assert wanted in page.run(f"document.getElementById('{table}').textContent"), table


def _plot(page):
    """(picture (H, W, 3), its middle) of the 3D view, scrolled into sight."""
    page.run("document.getElementById('plot').scrollIntoView({block: 'center'})")
    box = page.run("(b => [b.x, b.y, b.width, b.height])(byId('plot').getBoundingClientRect())")
    x, y, width, height = (round(value) for value in box)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return shot[y : y + height, x : x + width], (x + width // 2, y + height // 2)


def _check_turning(page):
    before, middle = _plot(page)
    magenta = np.abs(before.astype(int) - (220, 60, 200)).max(axis=-1) < 40
    red = np.abs(before.astype(int) - (220, 30, 30)).max(axis=-1) < 40
    green = np.abs(before.astype(int) - (40, 180, 60)).max(axis=-1) < 40
    assert magenta.sum() > 100  # the box
    assert green.sum() > 1000  # the wall
    assert red.sum() > 60  # its mark
    eye = page.run("JSON.stringify(byId('plot').layout.scene.camera.eye)")
    page.drag(middle, (middle[0] + 220, middle[1] + 40), steps=2)
    page.wait_for(f"JSON.stringify(byId('plot').layout.scene.camera.eye) !== {json.dumps(eye)}")
    after, _ = _plot(page)
    assert np.mean(np.abs(before.astype(int) - after).max(axis=-1) > 30) > 0.02


def _check_stepping(page):
    page.key("ArrowRight")
    page.wait_for("document.body.dataset.answer === '1'")
    assert HOSTILE in page.run("document.getElementById('words').textContent")
    page.run("document.querySelectorAll('#line circle')[2].dispatchEvent(new MouseEvent('click'))")
    page.wait_for("document.body.dataset.answer === '2'")
    assert "out of memory" in page.run("document.getElementById('words').textContent")
    assert page.run("getComputedStyle(document.querySelector('#plot').parentElement).display") == (
        "none"
    )
    page.run("document.querySelectorAll('#list button')[8].click()")
    page.wait_for("document.body.dataset.answer === '8'")
    page.key("ArrowLeft")
    page.wait_for("document.body.dataset.answer === '7' && location.hash === '#8'")
