"""The small model's tokenizer: whole words and decimals are tokens, everything else falls to bytes.

A number such as -0.4 is one token, so that it is compared as one thing and copied in one step. Any
text survives the way there and back. Written in the files that transformers reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oryx_scene.qa.parse import THINK_CLOSE, THINK_OPEN

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# A blank belongs to the word after it; decimals have one digit, as the facts are rounded.
WORD = r" ?-?\d+\.\d| ?\d+| ?[A-Za-z]+|\n| ?[^\sA-Za-z0-9]|\s"
LARGEST_M = 9.9
_PAIRS = 24


def words_in(text: str) -> list[str]:
    """The pieces that may become tokens."""
    return re.findall(WORD, text)


def decimals() -> list[str]:
    """Every decimal that a fact of a room can hold, with its blank."""
    top = round(LARGEST_M * 10)
    values = [f"{value / 10:.1f}" for value in range(top + 1)]
    return [f" {value}" for value in values] + [f" -{value}" for value in values[1:]]


def lexicon(texts: Iterable[str]) -> list[str]:
    """All words of ``texts``, small whole numbers and decimals, sorted."""
    found = {word for text in texts for word in words_in(text)}
    found = {word for word in found if not re.search(r"\d", word)}
    found |= {f" {number}" for number in range(100)} | {str(number) for number in range(100)}
    return sorted(found | set(decimals()))


def write_tokenizer(folder: Path, words: Iterable[str]) -> int:
    """Write tokenizer.json and tokenizer_config.json; returns the number of ids."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    mapped = [as_bytes.pre_tokenize_str(word)[0][0] for word in words]
    known = dict.fromkeys([*alphabet, *mapped])
    vocabulary = {token: index for index, token in enumerate(known)}
    # Whole words are looked up, never merged; what is no word stays bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORD), "isolated"), as_bytes]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    # The parser hides the scratchpad by these words: they must survive decoding.
    tokenizer.add_tokens(
        [AddedToken(word, special=False, normalized=False) for word in (THINK_OPEN, THINK_CLOSE)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 32768,
        "eos_token": SPECIALS[2],
        "pad_token": SPECIALS[0],
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return int(tokenizer.get_vocab_size())


def number_features(tokenizer: Any, width: int) -> dict[int, Tensor]:
    """Id -> (width,) start values of number tokens: close values look alike, order is a direction.

    Only an initialisation; training is free to change it.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    generator = torch.Generator().manual_seed(5)
    basis = torch.randn(1 + 2 * _PAIRS, width, generator=generator) / width**0.5
    found = {}
    for token, index in vocabulary.items():
        match = re.fullmatch(r"Ġ?(-?\d+\.\d)", token)
        if match is None:
            continue
        value = float(match.group(1))
        rates = torch.logspace(-1.0, 1.3, _PAIRS)
        waves = torch.cat([torch.sin(value * rates), torch.cos(value * rates)])
        code = torch.cat([torch.tensor([value / 2.0]), waves * 0.3])
        found[index] = code @ basis
    return found
