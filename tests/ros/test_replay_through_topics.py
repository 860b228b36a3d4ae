"""A recording of an office played into topics: the same answer, bit for bit, as from the bag."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import rclpy
from harness import wait_until
from oryx_scene_msgs.srv import DumpQuery
from oryx_scene_ros.playback import Player, RecordedTopics

from oryx_scene.cli.main import main
from oryx_scene.config import PipelineConfig, ViewsConfig
from oryx_scene.dump.folder import read_dump
from oryx_scene.dump.repeat import repeat_dump
from oryx_scene.errors import SourceError
from oryx_scene.model.api import Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Question
from oryx_scene.scene.frame_selection import frames_at, newest_stamp
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.registry import open_source

QUESTION = "How far is mark 1 from mark 2?"
VIEWS = ViewsConfig(history_s=60.0, min_gap_s=0.0, max_age_s=5.0)
# Three of the recording's five views lie within a tenth of a second, long before the last one.
THINNED = replace(VIEWS, min_gap_s=0.2)


@pytest.fixture(scope="module")
def bag(tmp_path_factory, office_folder):
    path = tmp_path_factory.mktemp("bags") / "office"
    write_source(open_source(office_folder), path)
    return path


@pytest.fixture(scope="module")
def answerer():
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    from oryx_scene.model.checkpoint.load import load_answerer

    return load_answerer("random", device="cpu")


@pytest.fixture
def play():
    """A function that plays a recording to a bench, every message waited for; its player."""
    node = rclpy.create_node("player")

    def run(one, path):
        with RecordedTopics(path) as recording:
            player = Player(node, recording.types, clock=True)
            assert player.wait_for_listeners(20.0) == []
            messages = list(recording.messages())
            # Taking up another clock makes the node forget what it has.
            player.tick(messages[0].log_ns)
            wait_until(lambda: one.now() >= messages[0].log_ns, "the recording's clock")
            for message in messages:
                before = heard(one)
                player.send(message)
                # An unchanged calibration changes nothing in the node.
                if "CameraInfo" not in message.msgtype:
                    wait_until(lambda known=before: heard(one) != known, message.topic)
            wait_until(lambda: one.now() >= messages[-1].log_ns, "the recording's last moment")
        return player

    yield run
    node.destroy_node()


def heard(one):
    feed = one.node.feeds.cameras["camera"]
    return feed.received, len(feed.depths.kept), one.node.intake.last_tf


def office_bench(bench, answerer, folder, views=VIEWS):
    return bench(
        cameras=("camera",),
        answerer=answerer,
        use_sim_time=True,
        image_reliability="reliable",
        camera__camera__topic="/camera/image_raw",
        camera__camera__depth_topic="/camera/depth/image_raw",
        views__history_s=views.history_s,
        views__min_gap_s=views.min_gap_s,
        views__max_age_s=views.max_age_s,
        # The command knows no earlier scenes.
        marks__keep_numbers=False,
        gen__max_new_tokens=8,
        dump__folder=str(folder),
    )


def offline(bag, answerer, views=VIEWS):
    source = open_source(bag)
    now_ns = newest_stamp(source)
    found = frames_at(source, now_ns, views)
    pipeline = ScenePipeline(answerer, PipelineConfig(views=views))
    scene = pipeline.freeze(found.frames, now_ns, question=QUESTION)
    return pipeline.ask(scene, Question(QUESTION), Limits(max_new_tokens=8))


@pytest.mark.parametrize(("views", "frames"), [(VIEWS, 5), (THINNED, 3)], ids=["all", "thinned"])
def test_the_same_answer_as_from_the_bag(
    bench, answerer, play, bag, tmp_path, capsys, views, frames
):
    one = office_bench(bench, answerer, tmp_path, views)
    play(one, bag)
    answer = one.ask(QUESTION)
    assert answer.error.code == 0, answer.error
    expected = offline(bag, answerer, views)
    said = answer.provenance
    assert [bytes(frame.sha256).hex() for frame in said.frames] == [
        item.sha256 for item in expected.evidence
    ]
    assert [bytes(frame.depth_sha256).hex() for frame in said.frames] == [
        item.depth_sha256 for item in expected.evidence
    ]
    assert said.scene_id == expected.provenance["scene_id"]
    assert bytes(said.prompt_sha256).hex() == expected.provenance["prompt_sha256"]
    assert bytes(said.tokens_sha256).hex() == expected.provenance["tokens_sha256"]
    assert answer.text == expected.text
    assert len(answer.provenance.frames) == frames

    # What the node dumps is repeated elsewhere, by the library and by the command.
    reply = one.call(DumpQuery, "dump_query")
    assert reply.error.code == 0, reply.error
    assert Path(reply.path).parent == tmp_path
    repeat = repeat_dump(read_dump(reply.path), answerer)
    assert repeat.identical, repeat.difference
    assert main(["ask", reply.path, "--model", "random", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"] is True


def test_payloads_are_published_byte_for_byte(bench, play, bag, office_folder):
    player = play(office_bench(bench, None, ""), office_folder)
    # The folder became a bag first: the same bytes as the bag that was made of it before.
    with RecordedTopics(bag) as recording, RecordedTopics(office_folder) as again:
        messages = list(recording.messages())
        assert messages == list(again.messages())
        assert player.sent == dict.fromkeys(recording.types, 5)
        late = list(recording.messages(start_s=10.5))
    assert 0 < len(late) < len(messages)
    assert late[0].log_ns >= messages[0].log_ns + 10_500_000_000


def test_what_cannot_be_played_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        RecordedTopics(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="neither a bag"):
        RecordedTopics(tmp_path / "empty")


def test_restamped_messages_keep_their_payload(bag):
    node = rclpy.create_node("restamp")
    try:
        with RecordedTopics(bag) as recording:
            player = Player(node, recording.types, shift_ns=5_000_000_000)
            got = []
            for publisher in player._publishers.values():
                publisher.publish = got.append
            messages = list(recording.messages())
            player.play(iter(messages), rate=1000.0)
            first = next(m for m in messages if m.topic == "/camera/image_raw")
        image = next(m for m in got if hasattr(m, "encoding"))
        transform = next(m for m in got if hasattr(m, "transforms")).transforms[0]
        # Stamps of the layout begin at one second.
        assert image.header.stamp.sec == 6
        assert transform.header.stamp.sec == 6
        assert bytes(image.data) == bytes(first.data)[-len(image.data) :]
    finally:
        node.destroy_node()
