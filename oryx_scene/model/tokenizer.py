"""Text to ids and back: the chat template around a prompt, image slots, and user text made safe.

User text is encoded with special tokens split, so that `<image>` or `<|im_end|>` in a question are
ordinary letters: text can never forge a slot or end its own turn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from oryx_scene.answerer import Prompt
from oryx_scene.errors import CheckpointError, MissingExtraError
from oryx_scene.model.splice import PLACEHOLDER

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
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

    def encode_plain(self, text: str) -> list[int]:
        """Ids of ``text``, in which no special token is recognised."""
        ...

    def special_id(self, token: str) -> int:
        """Id of a control token."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without control tokens; an unfinished character ends in U+FFFD."""
        ...


class HubTokenizer:
    """A transformers tokenizer of a checkpoint folder.

    Args:
        folder: with the tokenizer's files; the network is never asked.
        family: "qwen2" or "llama".
        config: the language model's transformers configuration; keeps transformers from guessing
            the class by the checkpoint's own model_type, which it does not know.

    Raises:
        CheckpointError: no tokenizer there, or one without the chat control tokens.
    """

    def __init__(self, folder: Path, family: str, config: Any = None) -> None:
        self.slot_newline = family == "qwen2"
        # The same few pieces of the template and of a scene come with every question.
        self._kept: dict[str, tuple[int, ...]] = {}
        self._sentencepiece = family == "llama"
        try:
            from transformers import AutoTokenizer, PreTrainedTokenizerFast
        except ImportError as err:
            raise MissingExtraError(
                "transformers", "model", needed_for="the tokenizer", cause=str(err)
            ) from err
        try:
            # A folder that states the plain class means its tokenizer.json as it stands; the
            # family's own class would put its own splitting of words in its place.
            if _stated_class(folder) == "PreTrainedTokenizerFast":
                self._tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(
                    str(folder), local_files_only=True
                )
            else:
                self._tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), config=config, local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise CheckpointError(
                folder,
                f"its tokenizer cannot be loaded ({' '.join(str(err).split())[:200]}).",
                hint="the folder needs the tokenizer files as published",
            ) from err
        vocabulary = self._tokenizer.get_vocab()
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

    @property
    def hub_tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._tokenizer

    def encode_plain(self, text: str) -> list[int]:
        """Ids of ``text``, in which no special token is recognised."""
        if not self._sentencepiece:
            return self._encode(text)
        # SentencePiece puts a blank before the first word of whatever it is given; the pieces of a
        # prompt are not first words, so a newline goes ahead and is taken off again.
        anchor, whole = self._encode("\n"), self._encode("\n" + text)
        if whole[: len(anchor)] == anchor:
            return whole[len(anchor) :]
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        kept = self._kept.get(text)
        if kept is None:
            found = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
            kept = tuple(found["input_ids"])
            if len(self._kept) >= KEPT_TEXTS:
                self._kept.clear()
            self._kept[text] = kept
        return list(kept)

    def special_id(self, token: str) -> int:
        """Id of a control token."""
        return int(self._tokenizer.convert_tokens_to_ids(token))

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without control tokens."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _stated_class(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return ""
    described = json.loads(path.read_text(encoding="utf-8"))
    return str(described.get("tokenizer_class", "")) if isinstance(described, dict) else ""


class CharTokenizer:
    """The toy tokenizer of the golden vectors: id = ord(char), control tokens by family."""

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
    ids = [start, *tokenizer.encode_plain("system"), *newline]
    ids += [*tokenizer.encode_plain(system), end, *newline]
    ids += [start, *tokenizer.encode_plain("user"), *newline]
    slot = [PLACEHOLDER, *(newline if tokenizer.slot_newline else ())]
    for piece in user:
        ids += slot if piece is None else tokenizer.encode_plain(piece)
    return ids


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
