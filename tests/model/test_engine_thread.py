"""One engine thread: others wait, errors come back, deadlines count the waiting."""

import threading
import time

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import CheckpointError, EngineError  # noqa: E402
from oryx_scene.model.api import Answerer, Limits, ManyAnswerer, Prompt  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.engine.thread import EngineThread  # noqa: E402

PROMPT = Prompt("You are a helpful assistant.", ("A room.\n",), "What is here?")


def load():
    return load_answerer("random", device="cpu")


@pytest.fixture(scope="module")
def shared():
    with EngineThread(load) as thread:
        yield thread


def test_threads_are_served_in_turn_and_get_the_same(shared):
    alone = load().generate(PROMPT, Limits(max_new_tokens=5))
    found, places = {}, set()

    def ask(index):
        found[index] = shared.generate(
            PROMPT, Limits(max_new_tokens=5), lambda _: places.add(threading.get_ident())
        )

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.token_ids for one in found.values()} == {alone.token_ids}
    assert len(places) == 1
    assert places.isdisjoint(thread.ident for thread in threads)
    many: ManyAnswerer = shared
    one: Answerer = shared
    assert one.card.name == "random"
    both = many.generate_many([PROMPT, PROMPT], Limits(max_new_tokens=5))
    assert [own.token_ids for own in both] == [alone.token_ids] * 2


def test_warm_up_happened_there_and_left_no_trace():
    with EngineThread(load) as thread:
        before = thread.counters()
        assert before["encodes"] == before["scene_bytes"] == before["decoded_tokens"] == 0
        engine = thread.submit(lambda engine: engine).result()
        calls = []
        engine.model.vision.register_forward_hook(lambda *_: calls.append(threading.get_ident()))
        assert thread.submit(lambda engine: engine.warm_up()).result() > 0
        assert calls
        assert threading.get_ident() not in calls


def test_waiting_counts_towards_the_deadline(shared):
    shared.submit(lambda _: time.sleep(0.2))
    late = shared.generate(PROMPT, Limits(deadline_s=0.05))
    assert (late.stop_reason, late.token_ids) == ("deadline", ())


def test_errors_come_back_and_the_thread_goes_on(shared):
    with pytest.raises(EngineError, match="context"):
        shared.generate(Prompt("", ("x" * 40000,), "?"), Limits())
    caught = []

    def again(_text):
        try:
            shared.generate(PROMPT, Limits())
        except EngineError as err:
            caught.append(err)

    shared.generate(PROMPT, Limits(max_new_tokens=1), again)
    assert "wait for itself" in str(caught[0])
    with pytest.raises(CheckpointError):
        EngineThread(lambda: load_answerer("/nowhere/at/all"))
