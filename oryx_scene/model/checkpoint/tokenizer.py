"""Text to ids and back: the chat template around a prompt, image slots, and user text made safe.

`<image>` or `<|im_end|>` in a question are ordinary letters, whatever the tokenizer takes them for:
text can never forge a slot or end its own turn. The files are `tokenizer_files`' business.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from oryx_scene.errors import CheckpointError
from oryx_scene.model.api import Prompt
from oryx_scene.model.checkpoint.tokenizer_files import read_words
from oryx_scene.model.oryx.splice import PLACEHOLDER

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
# How control tokens are written: <|im_end|>, </s>, <image>, <fim_prefix>, <tool_call>.
CONTROL = re.compile(r"<\|[^<>\s]*\|>|<\uff5c[^<>\s]*\uff5c>|</?[A-Za-z]+(?:[_-][A-Za-z0-9]+)*>")
TEXT_TOKENS = frozenset({"<think>", "</think>", "<unk>"})
# Tried in turn as what stands before a text whose beginning must not become a part of it.
ANCHORS = ("\n", ":", "|", "a")
# Texts whose ids are kept; a question has about ten pieces.
KEPT_TEXTS = 512


class TextTokenizer(Protocol):
    """What the model side needs of a tokenizer.

    ``slot_newline``: whether a newline follows every image slot, as the Qwen prompts were trained.
    """

    slot_newline: bool

    @property
    def hub_tokenizer(self) -> Any:
        """The transformers tokenizer behind it, None where there is none."""
        ...

    @property
    def doubt(self) -> str:
        """Why ids may differ from those that the model was trained on, "" for no reason."""
        ...

    def encode_plain(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control token."""
        ...

    def special_id(self, token: str) -> int:
        """Id of a control token."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without control tokens; an unfinished character ends in U+FFFD."""
        ...


class HubTokenizer:
    """The tokenizer of a checkpoint folder.

    Args:
        folder: with the tokenizer's files; the network is never asked.
        family: "qwen2" or "llama".
        config: the language model's transformers configuration.

    Attributes:
        source: the file that the ids are those of.
        doubt: why ids may differ from those that the model was trained on, "" for no reason.

    Raises:
        CheckpointError: no tokenizer there, or one without the chat control tokens.
        MissingExtraError: a package is missing that reads it.
    """

    def __init__(self, folder: Path, family: str, config: Any = None) -> None:
        self.slot_newline = family == "qwen2"
        # The same few pieces of the template and of a scene come with every question.
        self._kept: dict[str, tuple[int, ...]] = {}
        self._words = read_words(folder, config)
        self.source = self._words.source
        vocabulary = self._words.vocabulary
        missing = [token for token in (IM_START, IM_END) if token not in vocabulary]
        if missing:
            raise CheckpointError(
                folder, "its tokenizer lacks chat control tokens.", missing=missing
            )
        rows = getattr(config, "vocab_size", None)
        if rows is not None and max(vocabulary.values()) >= rows:
            raise CheckpointError(
                folder,
                f"its tokenizer has ids up to {max(vocabulary.values())}, larger than the model's "
                f"vocabulary of {rows}.",
                hint="tokenizer and weights belong to different models",
            )
        self._control = control_tokens(vocabulary, self._words.special)
        self._strings = re.compile("|".join(map(re.escape, sorted(self._control.values()))))
        self.doubt = ""

    @property
    def hub_tokenizer(self) -> Any:
        """The transformers tokenizer of the folder."""
        return self._words.hub()

    def encode_plain(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control token, whatever the text holds."""
        kept = self._kept.get(text)
        if kept is None:
            kept = tuple(self._without_control(text))
            if len(self._kept) >= KEPT_TEXTS:
                self._kept.clear()
            self._kept[text] = kept
        return list(kept)

    def _without_control(self, text: str) -> list[int]:
        ids = self._encode(text)
        if self._control.keys().isdisjoint(ids):
            return ids
        # Cut behind the first letter of every control token that stands in the text.
        cuts = [0, *(found.start() + 1 for found in self._strings.finditer(text)), len(text)]
        pieces = [text[start:end] for start, end in itertools.pairwise(cuts)]
        return [token for piece in pieces for token in self._halved(piece)]

    def _halved(self, text: str) -> list[int]:
        """Ids of a text in which a control token can come of normalisation only."""
        ids = self._encode(text)
        if self._control.keys().isdisjoint(ids):
            return ids
        if len(text) == 1:
            return [token for token in ids if token not in self._control]
        middle = len(text) // 2
        return [*self._halved(text[:middle]), *self._halved(text[middle:])]

    def _encode(self, text: str) -> list[int]:
        if not self._words.blank_first:
            return self._words.encode(text)
        # A blank is put before the first word of whatever is encoded; the pieces of a prompt are
        # not first words, so an anchor goes ahead and is taken off again.
        for anchor in ANCHORS:
            first, whole = self._words.encode(anchor), self._words.encode(anchor + text)
            if whole[: len(first)] == first:
                return whole[len(first) :]
        self.doubt = (
            "the tokenizer puts a blank before pieces of a prompt, which are no first words"
        )
        return self._words.encode(text)

    def special_id(self, token: str) -> int:
        """Id of a control token."""
        return self._words.vocabulary[token]

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without control tokens."""
        return self._words.decode(ids)


def control_tokens(vocabulary: dict[str, int], special: Collection[int]) -> dict[int, str]:
    """Tokens that text of a user must never become: ids and how they are written.

    They are the special ones, and those that look like control tokens whatever the files call
    them: of the chat template, image slots, tools, fill-in-the-middle. The think marks are text: a
    model's own working is read back with them.
    """
    return {
        index: token
        for token, index in vocabulary.items()
        if (index in special or CONTROL.fullmatch(token)) and token not in TEXT_TOKENS
    }


class CharTokenizer:
    """The toy tokenizer of the golden vectors: id = ord(char), control tokens by family."""

    doubt = ""

    def __init__(self, family: str) -> None:
        self.slot_newline = family == "qwen2"
        start, end = (190, 191) if family == "qwen2" else (6, 7)
        self._special = {IM_START: start, IM_END: end, "<|endoftext|>": 192}

    @property
    def hub_tokenizer(self) -> None:
        """There is none."""
        return

    def encode_plain(self, text: str) -> list[int]:
        """One id per character."""
        return [ord(character) for character in text]

    def special_id(self, token: str) -> int:
        """Id of a control token."""
        return self._special[token]

    def decode(self, ids: list[int]) -> str:
        """Characters of ``ids``."""
        return "".join(chr(token) for token in ids if token not in self._special.values())


def opening_ids(tokenizer: TextTokenizer, system: str, user: list[str | None]) -> list[int]:
    """Ids of the system turn and of the begin of the user turn.

    Args:
        tokenizer: of the model.
        system: system text.
        user: pieces of the user turn; None stands for an image slot.

    Returns:
        ids with ``PLACEHOLDER`` per slot; the user turn is still open.
    """
    start, end = tokenizer.special_id(IM_START), tokenizer.special_id(IM_END)
    newline = tokenizer.encode_plain("\n")
    ids = [start, *_turn(tokenizer, "system", system), end, *newline]
    first = user[0] if user else None
    ids += [start, *_turn(tokenizer, "user", first or "")]
    slot = [PLACEHOLDER, *(newline if tokenizer.slot_newline else ())]
    for piece in user if first is None else user[1:]:
        ids += slot if piece is None else tokenizer.encode_plain(piece)
    return ids


def _turn(tokenizer: TextTokenizer, role: str, text: str) -> list[int]:
    """A turn up to the end of ``text``: the prompts of Qwen were made of pieces, others of one."""
    if not tokenizer.slot_newline:
        return tokenizer.encode_plain(f"{role}\n{text}")
    ids = [*tokenizer.encode_plain(role), *tokenizer.encode_plain("\n")]
    return ids + (tokenizer.encode_plain(text) if text else [])


def closing_ids(tokenizer: TextTokenizer, question: str, answer: str = "") -> list[int]:
    """Ids from the question on: it ends the user turn and opens the answer with ``answer``."""
    newline = tokenizer.encode_plain("\n")
    start, end = tokenizer.special_id(IM_START), tokenizer.special_id(IM_END)
    ids = tokenizer.encode_plain(question) if question else []
    ids += [end, *newline, start, *tokenizer.encode_plain("assistant"), *newline]
    return ids + (tokenizer.encode_plain(answer) if answer else [])


def chat_ids(tokenizer: TextTokenizer, system: str, user: list[str | None]) -> list[int]:
    """Ids of one whole chat turn, ``PLACEHOLDER`` per slot, ending where the answer begins."""
    return opening_ids(tokenizer, system, user) + closing_ids(tokenizer, "")


def split_prompt_ids(tokenizer: TextTokenizer, prompt: Prompt) -> tuple[list[int], list[int]]:
    """Ids of a prompt, cut where the part that all questions of a scene share ends.

    Returns:
        (scene ids with ``PLACEHOLDER`` per visual item, ids from the question on).
    """
    pieces: list[str | None] = [part if isinstance(part, str) else None for part in prompt.scene]
    return (
        opening_ids(tokenizer, prompt.system, pieces),
        closing_ids(tokenizer, prompt.question, prompt.answer_prefix),
    )
