"""Steps of constant shape give the plain way's logits, whatever scene and rows come."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import EngineError  # noqa: E402
from oryx_scene.model.checkpoint.random_model import VISION, random_oryx, tiny_config  # noqa: E402
from oryx_scene.model.engine.cuda_graphs import StaticRows  # noqa: E402
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill  # noqa: E402
from oryx_scene.model.engine.decoder import Decoder  # noqa: E402
from oryx_scene.model.engine.kv import Slab  # noqa: E402
from oryx_scene.model.oryx.language import materialise_buffers  # noqa: E402


@pytest.fixture(scope="module")
def decoder():
    language = random_oryx(tiny_config(), VISION, 0).language
    materialise_buffers(language, torch.device("cpu"))
    for parameter in language.parameters():
        parameter.mul_(3)
    return Decoder(language)


def scene_of(decoder, tokens, seed=0):
    slab = Slab(decoder.shape, tokens)
    generator = torch.Generator().manual_seed(seed)
    prefill(decoder, slab, torch.randn(tokens, 64, generator=generator))
    return slab


def begun(decoder, scene, lengths, *, shared=True):
    rows = DecodeBatch(decoder, scene, len(lengths), shared=shared)
    rows.read([decoder.embed(torch.arange(n) + n) for n in lengths])
    return rows


@torch.inference_mode()
def test_scene_after_scene_and_rows_that_leave(decoder):
    static = StaticRows(decoder, 3000, rows=4, row_tokens=40)
    # Scenes of several sizes, one to four rows, from rows that share and rows that copy.
    for tokens, lengths in ((900, (3,)), (1500, (2, 9, 5)), (2900, (1, 2)), (40, (4, 5, 6, 7))):
        scene = scene_of(decoder, tokens, tokens)
        for shared in (True, False):
            plain = begun(decoder, scene, lengths, shared=shared)
            assert static.fits(plain, 10)
            static.take(plain)
            live = list(range(len(lengths)))
            for step in range(6):
                if step == 3 and len(live) > 1:
                    plain.keep(range(1, len(live)))
                    static.keep(range(1, len(live)))
                    live = live[1:]
                tokens_in = [step + row for row in live]
                wanted, found = plain.step(tokens_in), static.step(tokens_in)
                torch.testing.assert_close(found, wanted, rtol=0, atol=3e-4)


@torch.inference_mode()
def test_what_does_not_fit_is_said_beforehand(decoder):
    static = StaticRows(decoder, 100, rows=2, row_tokens=20)
    scene = scene_of(decoder, 100)
    assert static.fits(begun(decoder, scene, (5, 8)), 12)
    assert not static.fits(begun(decoder, scene, (5, 8)), 13)
    assert not static.fits(begun(decoder, scene, (1, 1, 1)), 1)
    assert not static.fits(begun(decoder, scene_of(decoder, 101), (1,)), 1)


@torch.inference_mode()
def test_a_step_that_differs_is_found_by_the_check(decoder, monkeypatch):
    StaticRows(decoder, 400, rows=4, row_tokens=40).check()
    broken = StaticRows(decoder, 400, rows=4, row_tokens=40)
    run = broken.run
    monkeypatch.setattr(broken, "run", lambda *sizes: run(*sizes) + 1.0)
    with pytest.raises(EngineError, match="differs from the plain way"):
        broken.check()


@torch.inference_mode()
def test_nothing_in_a_step_depends_on_what_the_host_knows(decoder):
    """The same call with other lengths on the device: what a replayed graph does."""
    static = StaticRows(decoder, 1024, rows=2, row_tokens=40)
    rows = begun(decoder, scene_of(decoder, 700), (3, 6))
    static.take(rows)
    static.step([1, 2])
    frozen = copy.copy(static)
    # A host that knows nothing: only the buffers of the device are left.
    frozen._lengths, frozen._places, frozen._scene = [], [], None
    static._ids[:2] = torch.tensor([3, 4])
    static._own[:2] = torch.tensor([4, 7])
    again = frozen.run(2, 1024)
    rows.step([1, 2])
    torch.testing.assert_close(again, rows.step([3, 4]), rtol=0, atol=3e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@torch.inference_mode()
def test_captured_graphs_are_the_plain_way_on_the_gpu(decoder):
    language = copy.deepcopy(decoder.language).to("cuda", torch.bfloat16)
    static = StaticRows(Decoder(language), 2048, rows=4, row_tokens=64)
    static.capture()
    static.check()
