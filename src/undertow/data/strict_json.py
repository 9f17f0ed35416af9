"""Stored documents read strictly: UTF-8, JSON with each key once, and no key or type that the schema lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from undertow.data.closed import keys_at
from undertow.errors import DataError, InputError, nearest

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""What JSON has to store as strings."""

_UPGRADE = "install a newer undertow, from its wheel or its source: undertow explain supply-chain"

Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True)
class Form(Generic[Document]):
    """A kind of stored document."""

    schema: str
    """Value of its key `schema`."""
    model: type[Document]
    name: str
    """In messages, e.g. `run`."""
    again: str
    """The command that makes one, for hints."""


class KeyTwiceError(ValueError):
    """An object that has a key twice."""

    def __init__(self, key: str) -> None:
        """`key` is the first that came again."""
        super().__init__(f"has the key {key!r} twice, which readers understand differently")
        self.key = key


class BareWordError(ValueError):
    """NaN or an infinity, which Python's JSON allows and JSON does not."""

    def __init__(self, word: str) -> None:
        """`word` is as it stands there."""
        super().__init__(f"the bare word {word} is not JSON")
        self.word = word


def decoded(text: str) -> Any:
    """
    The value that the text holds, with each key once and no bare word that is not JSON.

    Raises:
        KeyTwiceError: an object has a key twice.
        BareWordError: there is a NaN or an infinity.
        ValueError: it is no JSON; RecursionError: it is nested too deeply.
    """
    return _DECODER.decode(text)


def decoded_at(text: str, at: int) -> tuple[object, int]:
    """
    The value that begins there, and where it ends; likewise.

    Raises:
        KeyTwiceError: an object has a key twice.
        BareWordError: there is a NaN or an infinity.
        ValueError: it is no JSON; RecursionError: it is nested too deeply.
    """
    return _DECODER.raw_decode(text, at)


def text_of(source: Path, *, name: str, again: str) -> str:
    """
    The file's text.

    Args:
        name: what the file should hold, for the message.
        again: the command that makes one, for the hint.

    Raises:
        InputError: if it is missing, cannot be read or is not UTF-8.
    """
    try:
        return source.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no stored {name} '{source}'", hint=again) from error
    except OSError as error:
        raise InputError(
            f"cannot read '{source}': {error.strerror}", hint=f"ls -l '{source}'"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{source}' is not UTF-8 (byte {error.start})", hint=again) from error


def tables_of(text: str, source: Path, *, again: str) -> dict[str, Any]:
    """
    The JSON object that the text holds.

    Raises:
        InputError: if it holds none, has a key twice or a bare word that is not JSON.
    """
    try:
        tables = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_word)
    except KeyTwiceError as error:
        raise InputError(f"'{source}' has the key {error.key!r} twice", hint=again) from error
    except BareWordError as error:
        raise InputError(
            f"'{source}' holds the bare word {error.word}, which is not JSON", hint=again
        ) from error
    except RecursionError as error:
        raise InputError(f"'{source}' is nested too deeply", hint=again) from error
    except ValueError as error:
        raise InputError(f"'{source}' is not valid JSON: {error}", hint=again) from error
    if not isinstance(tables, dict):
        raise InputError(f"'{source}' does not hold a JSON object", hint=again)
    return tables


def objects_of_lines(path: Path | str, *, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """
    The object of each line of JSON Lines that is not blank, behind the number of its line from 1.

    Args:
        what: what the lines hold, for messages.

    Raises:
        DataError: the file cannot be read, or a line is no object, has a key twice, or text that is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read the {what} in '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} in '{path}' are not UTF-8 (byte {error.start})") from error
    # What Python takes for the end of a line besides may stand within a text.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = decoded(line)
            # Half of a pair that stands alone is an escape in JSON, and no text.
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError as error:
            raise DataError(f"'{path}', line {number}: nested too deeply") from error
        except ValueError as error:
            raise DataError(f"'{path}', line {number}: {error}") from error
        if not isinstance(value, dict):
            raise DataError(f"'{path}', line {number}: {_short(value)} is no object")
        yield number, value


def form_of(
    tables: Mapping[str, Any], source: Path, forms: Mapping[str, Form[Any]], *, again: str
) -> Form[Any]:
    """
    The form that the key `schema` names.

    Args:
        forms: the allowed ones by their schema.

    Raises:
        InputError: if the key is missing or names none of them.
    """
    schema = tables.get("schema")
    if isinstance(schema, str) and schema in forms:
        return forms[schema]
    allowed = ", ".join(f"'{name}'" for name in forms)
    if "schema" not in tables:
        message = f"'{source}': the key 'schema' is missing; allowed: {allowed}"
    else:
        message = f"'{source}': key 'schema' has the value {_short(schema)}; allowed: {allowed}"
    ours = tuple(name.partition("/")[0] + "/" for name in forms)
    newer = isinstance(schema, str) and schema.startswith(ours)
    raise InputError(message, hint=_UPGRADE if newer else again)


def document_of(text: str, source: Path, form: Form[Document]) -> Document:
    """
    The document that the text holds.

    Raises:
        InputError: naming the file and the key, if one is missing, unknown or of the wrong type.
    """
    try:
        return form.model.model_validate_json(text, strict=True)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _is_not_finite(fault)]
        if faults:
            # An unknown key is often the cause of a missing one, so it is reported first.
            faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
            raise _refusal(faults[0], source, form) from error
    return form.model.model_validate_json(text)


def _is_not_finite(fault: ErrorDetails) -> bool:
    # Strict parsing refuses the strings in which JSON has to store infinities and NaN.
    return fault["type"] == "float_type" and fault["input"] in NOT_FINITE


def _refusal(fault: ErrorDetails, source: Path, form: Form[Any]) -> InputError:
    place = fault["loc"]
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        allowed = keys_at(form.model, place[:-1])
        guess = nearest(str(place[-1]), allowed)
        message = f"'{source}': unknown key {key!r}; allowed: {', '.join(allowed)}{guess}"
        return InputError(message, hint=_UPGRADE)
    if fault["type"] == "missing":
        return InputError(f"'{source}': the key {key!r} is missing", hint=form.again)
    if fault["type"] == "json_invalid":
        return InputError(f"'{source}' is not valid JSON: {fault['msg']}", hint=form.again)
    message = f"'{source}': key {key!r} has the value {_short(fault['input'])}: {fault['msg']}"
    return InputError(message, hint=form.again)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise KeyTwiceError(name)
            names.add(name)
    return table


def _refuse_word(word: str) -> float:
    raise BareWordError(word)


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse_word)
