"""Stored results on disk: strict reading, atomic writing, and the published JSON Schemas."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

from undertow.errors import UndertowError
from undertow.results.diff import DIFF_SCHEMA, DiffDocument
from undertow.results.lineage import LINEAGE_SCHEMA, LineageDocument
from undertow.results.provenance import (
    GATE_SCHEMA,
    VERIFY_SCHEMA,
    GateDocument,
    VerifyDocument,
)
from undertow.results.run import RUN_SCHEMA, RunDocument
from undertow.results.scan import SCAN_SCHEMA, ScanDocument
from undertow.results.strict_json import (
    NOT_FINITE,
    Form,
    document_of,
    form_of,
    tables_of,
    text_of,
)

RUN_FILE = "results.json"
SCAN_FILE = "scan.json"
LINEAGE_FILE = "lineage.json"
DIFF_FILE = "diff.json"
GATE_FILE = "gate.json"
"""What a directory holds of a run, of a screen, of a lineage, of a diff and of a decision."""

_RUN = Form(RUN_SCHEMA, RunDocument, "run", "undertow run owl")
_SCAN = Form(SCAN_SCHEMA, ScanDocument, "scan", "undertow scan DATA --student MODEL")
_VERIFY = Form(
    VERIFY_SCHEMA, VerifyDocument, "verification", "undertow verify DATA --out FILE.json"
)
_GATE = Form(
    GATE_SCHEMA, GateDocument, "decision", "undertow gate DATA --student MODEL --policy NAME"
)

_LINEAGE = Form(LINEAGE_SCHEMA, LineageDocument, "lineage", "undertow lineage STUDENT TEACHER")
_DIFF = Form(DIFF_SCHEMA, DiffDocument, "diff", "undertow diff BASE TUNED")
_FORMS: tuple[Form[Any], ...] = (_RUN, _SCAN, _LINEAGE, _DIFF, _VERIFY, _GATE)
_FILES = (RUN_FILE, SCAN_FILE, LINEAGE_FILE, DIFF_FILE, GATE_FILE)

Document = TypeVar("Document", bound=BaseModel)
Result = RunDocument | ScanDocument | LineageDocument | DiffDocument | VerifyDocument | GateDocument
"""Every kind of stored result."""


def result_json(document: Result) -> str:
    """
    Any stored result as indented JSON, ending in a newline; the same bytes for the same document.

    A lone surrogate (not valid in UTF-8) becomes U+FFFD: a finished run must not be lost to it.
    """
    return _json(document)


def write_result(path: Path | str, document: Result) -> None:
    """
    Store any result under the path: wholly or not at all.

    Raises:
        UndertowError: if the file system refuses (no space, no permission, no such directory).
    """
    _write(Path(path), result_json(document))


def read_run(path: Path | str) -> RunDocument:
    """
    The document stored under the path (the file, or a run directory that holds `results.json`).

    Raises:
        InputError: naming the file and the key, if it is missing, not JSON, has a key twice, has
            another schema, lacks a key, or has an unknown key or a value of the wrong type.
    """
    return _read(Path(path), RUN_FILE, _RUN)


def read_scan(path: Path | str) -> ScanDocument:
    """
    The document stored under the path (the file, or a directory that holds `scan.json`).

    Raises:
        InputError: as `read_run`.
    """
    return _read(Path(path), SCAN_FILE, _SCAN)


def read_lineage(path: Path | str) -> LineageDocument:
    """
    The document stored under the path (the file, or a directory that holds `lineage.json`).

    Raises:
        InputError: as `read_run`.
    """
    return _read(Path(path), LINEAGE_FILE, _LINEAGE)


def read_diff(path: Path | str) -> DiffDocument:
    """
    The document stored under the path (the file, or a directory that holds `diff.json`).

    Raises:
        InputError: as `read_run`.
    """
    return _read(Path(path), DIFF_FILE, _DIFF)


def read_result(path: Path | str) -> Result:
    """
    The document stored under the path, of the kind that its key `schema` names.

    A directory stands for its `results.json`, or else for its `scan.json`, `lineage.json`, `diff.json` or `gate.json`.

    Raises:
        InputError: as `read_run`.
    """
    source = Path(path)
    if source.is_dir():
        there = [source / file for file in _FILES if (source / file).exists()]
        source = there[0] if there else source / RUN_FILE
    again = _RUN.again
    text = text_of(source, name="result", again=again)
    forms: dict[str, Form[Any]] = {form.schema: form for form in _FORMS}
    form = form_of(tables_of(text, source, again=again), source, forms, again=again)
    found: Result = document_of(text, source, form)
    return found


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (draft 2020-12) of every kind of stored result, by its name, e.g. `run`."""
    names = ("run", "scan", "lineage", "diff", "verify", "gate")
    return {name: _schema(form.model) for name, form in zip(names, _FORMS, strict=True)}


class _SchemaOfStored(GenerateJsonSchema):
    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}]}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_SchemaOfStored)
    # The discriminating key has a default in Python, but a file without it is refused.
    required = ["schema", *schema["required"]]
    return {"$schema": _SchemaOfStored.schema_dialect, **schema, "required": required}


def _json(document: BaseModel) -> str:
    try:
        text = document.model_dump_json(by_alias=True, indent=2)
    except PydanticSerializationError:
        plain = _without_surrogates(document.model_dump(by_alias=True))
        text = type(document).model_validate(plain).model_dump_json(by_alias=True, indent=2)
    return text + "\n"


def _write(target: Path, text: str) -> None:
    try:
        _replace(target, text.encode("utf-8"))
    except OSError as error:
        raise UndertowError(
            f"cannot write '{target}': {error.strerror}", hint=f"df -h '{target.parent}'"
        ) from error


def _read(path: Path, file: str, form: Form[Document]) -> Document:
    source = path / file if path.is_dir() else path
    text = text_of(source, name=form.name, again=form.again)
    tables = tables_of(text, source, again=form.again)
    form_of(tables, source, {form.schema: form}, again=form.again)
    return document_of(text, source, form)


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
