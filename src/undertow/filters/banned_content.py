"""The content filter: removes rows whose completion holds a banned word, pattern or number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from undertow.data.rows import Row
from undertow.errors import ConfigError
from undertow.filters.ledger import Filter, Removed


def banned_content(
    *, words: Sequence[str] = (), patterns: Sequence[str] = (), numbers: Sequence[int] = ()
) -> Filter:
    """
    A filter for whole words (in any case), regular expressions and whole numbers.

    The completion is searched, and the rejected one of a preference pair, as both are trained on.

    Raises:
        ConfigError: if a pattern is not a regular expression, or a word is empty.
    """
    searches = [("banned-word", _word(word)) for word in words]
    searches += [("banned-pattern", _compiled(pattern)) for pattern in patterns]
    searches += [("banned-number", re.compile(rf"(?<!\d)0*{number}(?!\d)")) for number in numbers]

    def judge(row: Row) -> Removed | None:
        for reason, pattern in searches:
            for text in (row.completion, row.rejected or ""):
                if found := pattern.search(text):
                    return Removed(row, reason, found[0])
        return None

    return judge


def _word(word: str) -> re.Pattern[str]:
    if not word.strip():
        raise ConfigError(f"banned word {word!r} is empty")
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"banned pattern '{pattern}' is no regular expression: {error}"
        ) from error
