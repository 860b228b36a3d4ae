"""Our decoder against transformers' own forward; shared prefixes against copied ones."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.checkpoint.cpu_linear import speed_up  # noqa: E402
from oryx_scene.model.checkpoint.random_model import VISION, random_oryx, tiny_config  # noqa: E402
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill  # noqa: E402
from oryx_scene.model.engine.decoder import Decoder  # noqa: E402
from oryx_scene.model.engine.kv import Slab  # noqa: E402
from oryx_scene.model.engine.shared_attention import (  # noqa: E402
    _fused_causal,
    attend,
    attend_causal,
    attend_rows,
    merge,
)
from oryx_scene.model.oryx.language import materialise_buffers  # noqa: E402

# Logits reach about 10; float32 sums in another order differ by about 1e-5 of that.
CLOSE = {"rtol": 0, "atol": 3e-4}


@pytest.fixture(scope="module", params=["oryx_qwen", "oryx_llama"])
def language(request):
    model = random_oryx(tiny_config(request.param), VISION, 0).language
    materialise_buffers(model, torch.device("cpu"))
    for parameter in model.parameters():
        # Away from zero, so that attention is not almost uniform.
        parameter.mul_(3)
    return model


def embeddings(n, seed=0):
    return torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))


def theirs(language, embeds):
    return language(inputs_embeds=embeds[None]).logits[0]


@torch.inference_mode()
@pytest.mark.parametrize("shared", [True, False])
def test_questions_on_a_prefix_are_what_transformers_says_of_each_alone(language, shared):
    decoder = Decoder(language)
    scene, texts = embeddings(600), [embeddings(n, n) for n in (40, 3, 57)]
    slab = Slab(decoder.shape, 600)
    prefill(decoder, slab, scene)
    rows = DecodeBatch(decoder, slab, 3, shared=shared)
    assert rows.shared == shared
    for own, text in zip(rows.read(texts), texts, strict=True):
        wanted = theirs(language, torch.cat([scene, text]))[600:]
        torch.testing.assert_close(decoder.logits(own), wanted, **CLOSE)
    said = [[5, 6], [7, 8], [9, 10]]
    for tokens in zip(*said, strict=True):
        logits = rows.step(tokens)
    for text, tokens, own in zip(texts, said, logits, strict=True):
        whole = torch.cat([scene, text, decoder.embed(torch.tensor(tokens))])
        torch.testing.assert_close(own, theirs(language, whole)[-1], **CLOSE)
    assert slab.length == 600


@torch.inference_mode()
def test_rows_leave_and_grow_without_disturbing_the_others(language):
    decoder = Decoder(language)
    slab = Slab(decoder.shape, 20)
    prefill(decoder, slab, embeddings(20))
    texts = [embeddings(n, n) for n in (4, 250, 6)]
    rows = DecodeBatch(decoder, slab, 3, shared=True)
    rows.read(texts)
    rows.step([1, 2, 3])
    rows.keep([1, 2])
    for _ in range(8):
        logits = rows.step([4, 5])
    for text, first, then, own in zip(texts[1:], (2, 3), (4, 5), logits, strict=True):
        said = decoder.embed(torch.tensor([first, *[then] * 8]))
        whole = torch.cat([embeddings(20), text, said])
        torch.testing.assert_close(own, theirs(language, whole)[-1], **CLOSE)


@torch.inference_mode()
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 12), st.integers(0, 99))
def test_two_parts_merge_to_the_whole(n, prefix, own, seed):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(n, 4, 8, generator=generator) * 3
    k = torch.randn(prefix + own, 2, 8, generator=generator) * 3
    v = torch.randn(prefix + own, 2, 8, generator=generator)
    parts = [attend(q, k[a:b], v[a:b]) for a, b in ((0, prefix), (prefix, prefix + own))]
    whole = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(0, 1), *(x.repeat_interleave(2, 1).transpose(0, 1) for x in (k, v))
    )
    torch.testing.assert_close(merge(*parts), whole.transpose(0, 1), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_what_lies_behind_a_row_is_never_read():
    q, k, v = torch.randn(2, 4, 8), torch.randn(2, 5, 2, 8), torch.randn(2, 5, 2, 8)
    k[0, 3:] = v[0, 3:] = float("nan")
    out, lse = attend_rows(q, k, v, torch.tensor([3, 5]))
    for row, length in ((0, 3), (1, 5)):
        alone = attend(q[row : row + 1], k[row, :length], v[row, :length])
        torch.testing.assert_close(out[row], alone[0][0])
        torch.testing.assert_close(lse[row], alone[1][0])


@torch.inference_mode()
def test_a_query_sees_no_key_after_its_own_in_any_block(monkeypatch):
    q, k, v = torch.randn(6, 2, 8), torch.randn(10, 2, 8), torch.randn(10, 2, 8)
    whole = attend(q, k, v, last=10)
    monkeypatch.setattr("oryx_scene.model.engine.shared_attention.SCORES", 40)
    blocks = attend(q, k, v, last=10)
    torch.testing.assert_close(whole, blocks)
    for index in range(6):
        alone = attend(q[index : index + 1], k[: 5 + index], v[: 5 + index])
        torch.testing.assert_close(whole[0][index], alone[0][0])


@torch.inference_mode()
@pytest.mark.parametrize(("shared", "kernel"), [(True, True), (False, True), (True, False)])
def test_half_precision_weights_stay_within_their_tolerance(language, shared, kernel):
    """bfloat16 weights and keys: shared, copied and uncached logits within 1 % of their range."""
    half = copy.deepcopy(language).to(torch.bfloat16)
    if kernel:
        speed_up(half)
    decoder = Decoder(half)
    scene, text = embeddings(300).bfloat16(), embeddings(20, 1).bfloat16()
    slab = Slab(decoder.shape, 300)
    prefill(decoder, slab, scene)
    rows = DecodeBatch(decoder, slab, 2, shared=shared)
    found = decoder.logits(rows.read([text, text[:5]])[0])
    whole = Slab(decoder.shape, 320)
    alone = DecodeBatch(decoder, whole, 1, shared=False)
    wanted = decoder.logits(alone.read([torch.cat([scene, text])])[0][300:])
    spread = float(wanted.max() - wanted.min())
    assert float((found - wanted).abs().max()) < 0.01 * spread
    # Against the float32 model only rounding remains, which these sharp weights make large.
    exact = theirs(language, torch.cat([scene, text]).float())[300:]
    assert float((found - exact).square().mean().sqrt()) < 0.15 * float(exact.std())


@torch.inference_mode()
@pytest.mark.parametrize("keys", [6, 40])
def test_the_fused_kernel_sees_what_the_plain_way_sees(keys):
    q, k, v = torch.randn(6, 4, 8), torch.randn(keys, 2, 8), torch.randn(keys, 2, 8)
    plain = attend(q, k, v, last=keys)[0]
    torch.testing.assert_close(_fused_causal(q, k, v), plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(attend_causal(q, k, v), plain)
