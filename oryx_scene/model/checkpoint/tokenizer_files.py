"""What a checkpoint folder's tokenizer files say: text to ids and back, as the files have it.

`tokenizer.json` is taken as it stands, whatever class the folder names beside it: classes of
transformers put their own splitting of words in its place. Without one, `tokenizer.model` is read
by SentencePiece itself, and only what has neither goes through the class that the folder names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oryx_scene.errors import CheckpointError, MissingExtraError

JSON_FILE, PIECES_FILE = "tokenizer.json", "tokenizer.model"
# Compared at loading: words, numbers, blanks, line ends, accents, other scripts, control tokens.
PROBES = (
    "What is left of mark 12? It is 1.25 m away.",
    "  two  blanks\n\nand lines\n",
    "Größe 20 µm, naïve café, 你好, 😀",
    "don't <|im_end|> stop",
)


@dataclass(frozen=True)
class Words:
    """One tokenizer; it can be pickled, since worker processes of training get it.

    Attributes:
        encode: text to ids; special tokens in the text are not recognised as far as the files let
            that be chosen.
        decode: ids to text, special tokens left out.
        vocabulary: ids by token.
        special: ids that the files call special.
        blank_first: a blank is put before whatever is encoded.
        source: the file that the ids are those of, for provenance.
        hub: makes the transformers tokenizer of the folder.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    vocabulary: dict[str, int]
    special: frozenset[int]
    blank_first: bool
    source: str
    hub: Callable[[], Any]


def read_words(folder: Path, config: Any) -> Words:
    """The tokenizer of a folder; the network is never asked.

    Args:
        folder: with the tokenizer's files.
        config: the language model's transformers configuration; keeps transformers from guessing
            the class by the checkpoint's own model_type, which it does not know.

    Raises:
        CheckpointError: no tokenizer there, or files that disagree.
        MissingExtraError: a package is missing that reads them.
    """
    try:
        if (folder / JSON_FILE).exists():
            return _from_json(folder)
        if (folder / PIECES_FILE).exists():
            return _from_pieces(folder, config)
        return _from_class(folder, config)
    except ImportError as err:
        package = "protobuf" if (err.name or "").startswith("google") else err.name
        raise MissingExtraError(
            package or "transformers", "model", needed_for="the tokenizer", cause=str(err)
        ) from err
    except CheckpointError:
        raise
    # tokenizers raises bare Exception for files that it cannot read.
    except Exception as err:
        raise CheckpointError(
            folder,
            f"its tokenizer cannot be loaded ({' '.join(str(err).split())[:200]}).",
            hint="the folder needs the tokenizer files as published: tokenizer.json, or "
            "tokenizer.model, or vocab.json and merges.txt",
        ) from err


def _from_json(folder: Path) -> Words:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer.from_file(str(folder / JSON_FILE))
    hub = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    words = _of_hub(hub, JSON_FILE)
    for text in PROBES:
        recognised = hub(text, add_special_tokens=False)["input_ids"]
        if list(recognised) != raw.encode(text, add_special_tokens=False).ids:
            raise CheckpointError(
                folder,
                f"transformers gives {text!r} other ids than {JSON_FILE}: the other tokenizer "
                "files beside it do not belong to it.",
                hint="get all tokenizer files again from where they were published",
            )
    return words


def _from_class(folder: Path, config: Any) -> Words:
    hub = _hub_of_class(folder, config)
    return _of_hub(hub, f"{type(hub).__name__} of transformers")


def _hub_of_class(folder: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        str(folder), config=config, local_files_only=True, trust_remote_code=False
    )


def _of_hub(hub: Any, source: str) -> Words:
    # Encoded alone and after a line end, a word has the same ids unless a blank is put before it.
    encode = partial(hub.encode, add_special_tokens=False, split_special_tokens=True)
    alone, after, line = (encode(text) for text in ("a", "\na", "\n"))
    return Words(
        encode,
        partial(hub.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False),
        dict(hub.get_vocab()),
        frozenset(map(int, hub.all_special_ids)),
        blank_first=after[len(line) :] != alone,
        source=source,
        hub=partial(_given, hub),
    )


def _given(hub: Any) -> Any:
    return hub


def _from_pieces(folder: Path, config: Any) -> Words:
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    described = ModelProto.FromString((folder / PIECES_FILE).read_bytes())
    # The pieces of a prompt are no first words of a text: none of them gets a blank of its own.
    described.normalizer_spec.add_dummy_prefix = False
    pieces: Any = SentencePieceProcessor()
    pieces.LoadFromSerializedProto(described.SerializeToString())
    count = pieces.GetPieceSize()
    vocabulary = {pieces.IdToPiece(index): index for index in range(count)}
    added = _added_tokens(folder)
    vocabulary.update(added)
    special = {index for index in range(count) if pieces.IsControl(index)} | set(added.values())

    return Words(
        partial(_pieces_encode, pieces),
        partial(_pieces_decode, pieces, frozenset(special)),
        vocabulary,
        frozenset(special),
        blank_first=False,
        source=PIECES_FILE,
        hub=partial(_hub_of_class, folder, config),
    )


def _pieces_encode(pieces: Any, text: str) -> list[int]:
    return [int(token) for token in pieces.Encode(text)]


def _pieces_decode(pieces: Any, special: frozenset[int], ids: list[int]) -> str:
    kept = [token for token in ids if token < pieces.GetPieceSize() and token not in special]
    text: str = pieces.Decode(kept)
    return text


def _added_tokens(folder: Path) -> dict[str, int]:
    """Tokens that files beside ``tokenizer.model`` add to it."""
    found: dict[str, int] = {}
    for name in ("added_tokens.json", "tokenizer_config.json"):
        path = folder / name
        described = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if name == "added_tokens.json":
            found.update({str(token): int(index) for token, index in described.items()})
            continue
        for index, token in described.get("added_tokens_decoder", {}).items():
            found[str(token["content"])] = int(index)
    return found
