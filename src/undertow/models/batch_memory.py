"""
How many rows fit into one forward pass, when the logits at their completions are looked at as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from undertow.models.chat import Encoded
from undertow.models.loading import LanguageModel

LOGITS = 1 << 26
"""Most logits held at a time; 256 MB in float32."""


def rows_at_once(model: LanguageModel, rows: Sequence[Encoded], *, most: int = 128) -> int:
    """
    Rows a batch, at least 1 and at most `most`, such that (rows, kept, vocabulary) logits stay below `LOGITS`.
    """
    longest = max((len(row.completion) for row in rows), default=1)
    vocabulary = max(int(model.network.config.vocab_size), len(model.tokenizer))
    return max(1, min(most, LOGITS // ((longest + 1) * vocabulary)))
