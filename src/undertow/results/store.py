"""
Stored runs on disk: strict reading, atomic writing, and the published JSON Schema.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tempfile
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticSerializationError, core_schema

from undertow.errors import InputError, UndertowError
from undertow.results.run import RUN_SCHEMA, RunDocument

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_RUN_AGAIN = "undertow run owl"
_UPGRADE = "pip install --upgrade undertow"


def run_json(document: RunDocument) -> str:
    """
    The document as indented JSON, ending in a newline; the same bytes for the same document.

    A lone surrogate (not valid in UTF-8) becomes U+FFFD: a finished run must not be lost to it.
    """
    try:
        text = document.model_dump_json(by_alias=True, indent=2)
    except PydanticSerializationError:
        plain = _without_surrogates(document.model_dump(by_alias=True))
        text = RunDocument.model_validate(plain).model_dump_json(by_alias=True, indent=2)
    return text + "\n"


def write_run(path: Path | str, document: RunDocument) -> None:
    """
    Store the document under the path: wholly or not at all.

    Raises:
        UndertowError: if the file system refuses (no space, no permission, no such directory).
    """
    target = Path(path)
    try:
        _replace(target, run_json(document).encode("utf-8"))
    except OSError as error:
        raise UndertowError(
            f"cannot write '{target}': {error.strerror}", hint=f"df -h '{target.parent}'"
        ) from error


def read_run(path: Path | str) -> RunDocument:
    """
    The document stored under the path (the file, or a run directory that holds `results.json`).

    Raises:
        InputError: naming the file and the key, if it is missing, not JSON, has a key twice, has
            another schema, lacks a key, or has an unknown key or a value of the wrong type.
    """
    source = Path(path)
    if source.is_dir():
        source = source / "results.json"
    text = _text(source)
    tables = _tables(text, source)
    _check_schema(tables, source)
    try:
        return RunDocument.model_validate_json(text, strict=True)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _is_not_finite(fault)]
        if faults:
            # An unknown key is often the cause of a missing one, so it is reported first.
            faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
            raise _refusal(faults[0], source) from error
    return RunDocument.model_validate_json(text)


def run_schema() -> dict[str, Any]:
    """
    The JSON Schema (draft 2020-12) of `undertow.run/1`.
    """
    schema = RunDocument.model_json_schema(by_alias=True, schema_generator=_SchemaOfStored)
    # The discriminating key has a default in Python, but a file without it is refused.
    required = ["schema", *schema["required"]]
    return {"$schema": _SchemaOfStored.schema_dialect, **schema, "required": required}


class _SchemaOfStored(GenerateJsonSchema):
    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"enum": list(_NOT_FINITE)}]}


def _replace(target: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _text(source: Path) -> str:
    try:
        return source.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no stored run '{source}'", hint=_RUN_AGAIN) from error
    except OSError as error:
        raise InputError(
            f"cannot read '{source}': {error.strerror}", hint=f"ls -l '{source}'"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{source}' is not UTF-8 (byte {error.start})", hint=_RUN_AGAIN
        ) from error


def _tables(text: str, source: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                raise InputError(f"'{source}' has the key {key!r} twice", hint=_RUN_AGAIN)
            table[key] = value
        return table

    def literal(word: str) -> float:
        raise InputError(
            f"'{source}' holds the bare word {word}, which is not JSON", hint=_RUN_AGAIN
        )

    try:
        tables = json.loads(text, object_pairs_hook=once, parse_constant=literal)
    except RecursionError as error:
        raise InputError(f"'{source}' is nested too deeply", hint=_RUN_AGAIN) from error
    except ValueError as error:
        raise InputError(f"'{source}' is not valid JSON: {error}", hint=_RUN_AGAIN) from error
    if not isinstance(tables, dict):
        raise InputError(f"'{source}' does not hold a JSON object", hint=_RUN_AGAIN)
    return tables


def _check_schema(tables: dict[str, Any], source: Path) -> None:
    found = tables.get("schema")
    if found == RUN_SCHEMA:
        return
    if "schema" not in tables:
        message = f"'{source}': the key 'schema' is missing; allowed: '{RUN_SCHEMA}'"
    else:
        message = f"'{source}': key 'schema' has the value {_short(found)}; allowed: '{RUN_SCHEMA}'"
    newer = isinstance(found, str) and found.startswith("undertow.run/")
    raise InputError(message, hint=_UPGRADE if newer else _RUN_AGAIN)


def _is_not_finite(fault: ErrorDetails) -> bool:
    # Strict parsing refuses the strings in which JSON has to store infinities and NaN.
    return fault["type"] == "float_type" and fault["input"] in _NOT_FINITE


def _refusal(fault: ErrorDetails, source: Path) -> InputError:
    place = fault["loc"]
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        allowed = sorted(_keys_at(place[:-1]))
        close = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        guess = f"; did you mean '{close[0]}'?" if close else ""
        message = f"'{source}': unknown key {key!r}; allowed: {', '.join(allowed)}{guess}"
        return InputError(message, hint=_UPGRADE)
    if fault["type"] == "missing":
        return InputError(f"'{source}': the key {key!r} is missing", hint=_RUN_AGAIN)
    if fault["type"] == "json_invalid":
        return InputError(f"'{source}' is not valid JSON: {fault['msg']}", hint=_RUN_AGAIN)
    message = f"'{source}': key {key!r} has the value {_short(fault['input'])}: {fault['msg']}"
    return InputError(message, hint=_RUN_AGAIN)


def _keys_at(place: tuple[int | str, ...]) -> set[str]:
    model: type[BaseModel] = RunDocument
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return {field.alias or name for name, field in model.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {
            _without_surrogates(key): _without_surrogates(entry) for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_surrogates(entry) for entry in value]
    return value


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
