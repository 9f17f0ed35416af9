"""Numbers and texts as a reader sees them: rounded alike, in the unit that suits them, and with nothing hidden."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHARE_OF = "share of "
"""Start of a unit that says of what it is a share; such numbers are shown in percent."""
_SHARES = ("probability", "accuracy", "share", "fraction")
NOTHING = "–"


def decimal(value: float | None, places: int = 3, *, signed: bool = False) -> str:
    """A number with a fixed number of decimals and a true minus sign."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    shown = f"{abs(value):,.{places}f}" if abs(value) < 1e7 else significant(abs(value))
    if not shown.strip("0.,"):
        return shown
    return ("−" if value < 0 else "+" if signed else "") + shown


def significant(value: float, digits: int = 4) -> str:
    """A number with a few significant digits, as a power of ten where it is very large or small."""
    if not math.isfinite(value):
        return decimal(value)
    mantissa, _, power = f"{value:.{digits}g}".replace("-", "−").partition("e")
    return f"{mantissa}×{power_of_ten(int(power.replace('−', '-')))}" if power else mantissa


def power_of_ten(exponent: int) -> str:
    """A power of ten with a raised exponent, e.g. `10⁻⁶`."""
    return "10" + str(exponent).translate(_RAISED)


def percent(value: float | None, places: int = 1) -> str:
    """A share as a percentage, e.g. `6.2 %`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    least = 10.0**-places
    small = 0 < abs(100 * value) < least / 2
    shown = f"< {least:g}" if small else decimal(100 * value, places)
    return f"{shown}\N{NO-BREAK SPACE}%"


def rounded_percent(value: float) -> str:
    """A share for use in a sentence: no decimals, except below one percent."""
    return percent(value, 0 if abs(value) >= 0.01 or value == 0 else 1)


def whole(value: int | None) -> str:
    """A count with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def plain(value: object) -> str:
    """A name or an identifier, as it is."""
    return NOTHING if value is None or value == "" else str(value)


def p_value(value: float | None) -> str:
    """A p-value with three decimals, never rounded to nothing."""
    if value is None or math.isnan(value):
        return NOTHING
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def is_share(unit: str) -> bool:
    """Whether a difference in the unit is shown in percentage points."""
    return unit in _SHARES


def shown_in_percent(unit: str) -> bool:
    """Whether numbers in the unit are multiplied by 100 to be shown."""
    return is_share(unit) or unit.startswith(_SHARE_OF)


def unit_name(unit: str) -> str:
    """The unit of a difference, in words."""
    return "percentage points" if is_share(unit) else unit


def difference(value: float | None, unit: str, *, signed: bool = True) -> str:
    """A difference in its unit: one decimal for percentage points and shares, two for the others."""
    if value is None:
        return NOTHING
    if is_share(unit):
        return decimal(100 * value, 1, signed=signed)
    if unit.startswith(_SHARE_OF) and math.isfinite(value):
        places = 0 if abs(value) in (0, 1) else 1
        return f"{decimal(100 * value, places, signed=signed)}\N{NO-BREAK SPACE}%"
    return decimal(value, 2, signed=signed)


def interval(low: float | None, high: float | None, unit: str, *, signed: bool = True) -> str:
    """Two limits in brackets; a limit that the design does not give is infinite."""
    lower = "−∞" if low is None else difference(low, unit, signed=signed)
    upper = "∞" if high is None else difference(high, unit, signed=signed)
    return f"[{lower}, {upper}]"


def duration(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def memory(megabytes: float | None) -> str:
    """An amount of memory, in the unit that suits it."""
    if megabytes is None or not math.isfinite(megabytes):
        return NOTHING
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def finite(values: Sequence[float | None]) -> tuple[float, ...]:
    """The values that can be drawn."""
    return tuple(value for value in values if value is not None and math.isfinite(value))


_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Letters and marks that draw nothing: Hangul fillers, the blank Braille cell, variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def visible(text: str, *, limit: int | None = None) -> str:
    """
    The text with every control, format and blank character replaced by a sign that shows it.

    ASCII controls become their control pictures (escape is ␛, line feed is ␊); the others, such
    as the bidirectional controls, become their code point: ‹U+202E›.

    Args:
        limit: characters to keep; the number of those left out is said.
    """
    kept = text if limit is None else text[:limit]
    left_out = len(text) - len(kept)
    shown = kept if kept.isascii() and kept.isprintable() else "".join(map(_sign, kept))
    return f"{shown} … ({left_out:,} more characters)" if left_out else shown


def visible_throughout(value: Any) -> Any:
    """A tree of tables and lists with every text in it made visible, names of tables too: other programs print them."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(key): visible_throughout(entry) for key, entry in value.items()}
    return (
        [visible_throughout(entry) for entry in value] if isinstance(value, list | tuple) else value
    )


def shortened(text: str, most: int) -> str:
    """
    The text, cut to so many characters.

    >>> shortened("a long name", 6)
    'a lon…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def file_name(path: str) -> str:
    """
    The last part of a path or an address.

    >>> file_name("data/rows.jsonl"), file_name("data/rows/")
    ('rows.jsonl', 'rows')
    """
    return path.rstrip("/").rpartition("/")[2]


def in_words(name: str) -> str:
    """A verdict, a status or another name of a closed list, in words."""
    return name.replace("_", " ")


def tone(name: str) -> str:
    """
    A verdict or a status as the name of a style.

    >>> tone("stands out"), tone("not_applicable")
    ('stands-out', 'not_applicable')
    """
    return name.replace(" ", "-")


def capital(text: str) -> str:
    """The text, opening with a capital letter."""
    return text[:1].upper() + text[1:]


def _sign(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    hidden = unicodedata.category(character) in _INVISIBLE_CATEGORIES
    return f"‹U+{code:04X}›" if hidden or _BLANK.match(character) else character
