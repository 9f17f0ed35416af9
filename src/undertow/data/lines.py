"""One line of JSON Lines as a record, or what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


class LineError(ValueError):
    """A line that gives no record."""

    def __init__(self, reason: str, text: str) -> None:
        """`reason` is a permanent id, `text` says what was found."""
        super().__init__(text)
        self.reason = reason


def parsed(line: bytes, made_of: Callable[[object], R], *, first: bool) -> R | None:
    """
    What `made_of` makes of the line's JSON; None for a blank line. `first` allows a byte order mark.

    Raises:
        LineError: the line is no UTF-8, no JSON, nested too deeply, or `made_of` refuses it with a ValueError.
    """
    try:
        # Some editors open a file with a byte order mark.
        text = line.decode("utf-8-sig" if first else "utf-8").strip()
        record = json.loads(text) if text else None
    except UnicodeDecodeError as error:
        raise LineError("not-utf8", f"byte {error.start} of the row is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineError(
            "not-json", f"not valid JSON ({error.msg} at column {error.colno})"
        ) from error
    except RecursionError as error:
        raise LineError("nested-too-deeply", "JSON nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python turns into a number
        raise LineError("not-json", str(error)) from error
    try:
        return made_of(record) if text else None
    except ValueError as error:
        raise LineError(getattr(error, "reason", "shape"), str(error)) from error
