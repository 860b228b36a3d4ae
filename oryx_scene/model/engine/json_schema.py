"""Keeping an answer to a JSON schema, token by token, with llguidance (extra `json`).

The only module that knows the library. It says which tokens may follow; choosing among them stays
with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx_scene.errors import MissingExtraError, QuestionError

# One way of writing, that of Python's json.dumps: where blanks are free, a weak model writes
# nothing else until its tokens are used up.
LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class JsonForms:
    """Makes constraints for one tokenizer; the costly part of it is done once.

    Args:
        tokenizer: a fast tokenizer of transformers.
        vocabulary: rows of the model's head, which may be more than the tokenizer knows.
        stop_ids: tokens that end an answer.

    Raises:
        MissingExtraError: llguidance is not installed.
        QuestionError: a tokenizer that it cannot read.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, stop_ids: frozenset[int]) -> None:
        try:
            import llguidance
            import llguidance.hf
        except ImportError as err:
            raise MissingExtraError(
                "llguidance", "json", needed_for="JSON to a schema", cause=str(err)
            ) from err
        self._library: Any = llguidance
        self._vocabulary = vocabulary
        self._stop_ids = sorted(stop_ids)
        try:
            self._tokens = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=vocabulary, eos_token=self._stop_ids or None
            )
        except (ValueError, RuntimeError) as err:
            raise QuestionError(
                f"this model's tokenizer cannot be kept to a schema ({err}).",
                hint="ask for text instead",
            ) from err

    def constraint(self, schema: str) -> JsonConstraint:
        """A constraint for one answer.

        Raises:
            QuestionError: a schema that is none, or that the library does not support.
        """
        try:
            grammar = self._library.LLMatcher.grammar_from_json_schema(schema, overrides=LAYOUT)
        except (ValueError, TypeError) as err:
            raise QuestionError(_bad_schema(str(err)), hint="see json-schema.org") from err
        matcher = self._library.LLMatcher(self._tokens, grammar)
        if matcher.is_error():
            raise QuestionError(_bad_schema(matcher.get_error()), hint="see json-schema.org")
        return JsonConstraint(matcher, self._vocabulary, self._stop_ids)


def _bad_schema(problem: str) -> str:
    return f"the JSON schema cannot be used ({' '.join(problem.split())[:200]})."


class JsonConstraint:
    """What one answer may go on with; see :class:`oryx_scene.model.engine.sampling.Constraint`."""

    def __init__(self, matcher: Any, vocabulary: int, stop_ids: Sequence[int]) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._stop_ids = list(stop_ids)
        self._taken = 0

    def allowed(self, produced: Sequence[int]) -> Tensor:
        """(vocabulary,) bool, True for tokens that may come after ``produced``."""
        fresh = list(produced[self._taken :])
        self._taken = len(produced)
        if fresh and not self._matcher.is_stopped():
            self._matcher.consume_tokens(fresh)
        mask = torch.zeros(self._vocabulary, dtype=torch.bool)
        if self._matcher.is_stopped():
            mask[self._stop_ids] = True
            return mask
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        found = np.unpackbits(bits, bitorder="little")[: self._vocabulary]
        mask[: len(found)] = torch.from_numpy(found.astype(bool))
        return mask
