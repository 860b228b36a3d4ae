"""Choosing tokens, building the chat's ids, and the count of visual tokens for any sizes."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.errors import EngineError  # noqa: E402
from oryx_scene.model.api import Limits, Prompt, Stride, VisualItem  # noqa: E402
from oryx_scene.model.checkpoint.random_model import VISION, random_oryx, tiny_config  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import CharTokenizer, chat_ids, split_prompt_ids  # noqa: E402
from oryx_scene.model.engine.sampling import TokenChooser  # noqa: E402
from oryx_scene.model.oryx.splice import PLACEHOLDER, pad_rows, splice  # noqa: E402
from oryx_scene.model.sizes import image_tokens, video_tokens  # noqa: E402

MODEL = random_oryx(tiny_config(), VISION, 0)


# -- choosing ------------------------------------------------------------------------------------


def test_the_penalty_divides_positive_and_multiplies_negative_logits_of_new_tokens_only():
    chooser = TokenChooser(Limits(), 2.0)
    assert chooser.choose(torch.tensor([1.0, 3.0, 2.0])) == 1
    assert chooser.choose(torch.tensor([1.0, 3.0, 2.0])) == 2  # 3 / 2 < 2
    assert chooser.choose(torch.tensor([-3.0, -1.0, -2.5])) == 1  # -1 * 2 is still the best
    assert chooser.choose(torch.tensor([-1.9, -1.0, -2.5])) == 0


def drawn(limits, logits, times=400):
    chooser = TokenChooser(limits)
    return [chooser.choose(torch.tensor(logits)) for _ in range(times)]


def test_top_k_and_top_p_cut_and_temperature_flattens():
    logits = [3.0, 2.0, 1.0, 0.0]  # 0.64, 0.24, 0.09, 0.03
    assert set(drawn(Limits(temperature=1.0, top_k=2), logits)) == {0, 1}
    assert set(drawn(Limits(temperature=1.0, top_p=0.6), logits)) == {0}
    # The token that reaches the mass still belongs to it.
    assert set(drawn(Limits(temperature=1.0, top_p=0.65), logits)) == {0, 1}
    # A head that has exactly the mass takes no further token.
    assert set(drawn(Limits(temperature=1.0, top_p=0.5), [1.0, 1.0])) == {0}
    cold = drawn(Limits(temperature=0.3), logits).count(0)
    hot = drawn(Limits(temperature=3.0), logits).count(0)
    assert cold > 350
    assert hot < 250
    assert drawn(Limits(temperature=0.0), logits, 3) == [0, 0, 0]


# -- ids -----------------------------------------------------------------------------------------


def test_a_qwen_slot_is_followed_by_a_newline_of_its_own_and_a_llama_slot_is_not():
    qwen = chat_ids(CharTokenizer("qwen2"), "S", [None, "\nQ"])
    text = "".join({190: "[", 191: "]", PLACEHOLDER: "#"}.get(i, chr(i % 256)) for i in qwen)
    assert text == "[system\nS]\n[user\n#\n\nQ]\n[assistant\n"
    llama = chat_ids(CharTokenizer("llama"), "S", [None, "\nQ"])
    text = "".join({6: "[", 7: "]", PLACEHOLDER: "#"}.get(i, chr(i % 256)) for i in llama)
    assert text == "[system\nS]\n[user\n#\nQ]\n[assistant\n"


def test_a_prompt_is_cut_where_the_question_begins_and_joins_to_the_whole():
    tokenizer = CharTokenizer("qwen2")
    item = VisualItem((), Stride.VIDEO)
    scene, question = split_prompt_ids(tokenizer, Prompt("S", (item, "\nLook. "), "Q?", "Yes"))
    whole = chat_ids(tokenizer, "S", [None, "\nLook. ", "Q?"])
    assert scene + question == whole + [ord(c) for c in "Yes"]
    assert question[:2] == [ord("Q"), ord("?")]


def test_splice_puts_slots_in_order_and_counts_them():
    ids = [1, PLACEHOLDER, 2, PLACEHOLDER]
    slots = [torch.full((2, 3), 10.0), torch.full((1, 3), 20.0)]
    rows = splice(ids, slots, lambda t: t[:, None].float().expand(-1, 3))
    assert rows[:, 0].tolist() == [1, 10, 10, 2, 20]
    with pytest.raises(EngineError, match="2 image slots, 1 were given"):
        splice(ids, slots[:1], lambda t: t[:, None].float())


def test_padding_sides():
    rows = [torch.ones(2, 1), torch.ones(3, 1)]
    left, mask = pad_rows(rows, "left")
    assert left[0, :, 0].tolist() == [0, 1, 1]
    assert mask[0].tolist() == [False, True, True]
    assert pad_rows(rows, "right")[1][0].tolist() == [True, True, False]


# -- counts --------------------------------------------------------------------------------------

PATCHES = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=25, deadline=None)
@given(PATCHES, PATCHES)
def test_an_image_has_as_many_tokens_as_predicted(high, low):
    pictures = [torch.zeros(3, 16 * rows, 16 * columns) for rows, columns in (high, low)]
    with torch.inference_mode():
        maps = MODEL.encode(pictures, [Stride.IMAGE] * 2)
        tokens = MODEL.projector.image(maps[1], maps[0])
    sizes = [(16 * rows, 16 * columns) for rows, columns in (high, low)]
    assert tokens.shape == (image_tokens(sizes[0], sizes[1]), 64)


@settings(max_examples=25, deadline=None)
@given(PATCHES, st.integers(1, 4), st.sampled_from([Stride.VIDEO, Stride.VIDEO_LONG]))
def test_a_video_has_as_many_tokens_as_predicted(grid, frames, stride):
    height, width = (16 * stride * side for side in grid)
    with torch.inference_mode():
        maps = MODEL.encode([torch.zeros(3, height, width)] * frames, [stride] * frames)
        tokens = MODEL.projector.video(maps)
    assert tokens.shape == (video_tokens(frames, height, width, stride), 64)


def test_at_1x_the_compressor_gives_exactly_twice_the_feature():
    with torch.inference_mode():
        picture = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
        feature = MODEL.vision([picture])[0]
        once = MODEL.encode([picture], [Stride.IMAGE])[0]
    assert torch.equal(once.flatten(0, 1), 2 * feature)
