"""Stored results on disk: strict reading, atomic writing, and the published JSON Schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

from undertow.data.files import whole_file
from undertow.data.strict_json import NOT_FINITE, Form, document_of, form_of, tables_of, text_of
from undertow.errors import UndertowError
from undertow.results.model_documents import (
    DIFF_SCHEMA,
    LINEAGE_SCHEMA,
    DiffDocument,
    LineageDocument,
)
from undertow.results.provenance_documents import (
    GATE_SCHEMA,
    VERIFY_SCHEMA,
    GateDocument,
    VerifyDocument,
)
from undertow.results.run_document import RUN_SCHEMA, RunDocument
from undertow.results.scan_document import SCAN_SCHEMA, ScanDocument

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

D = TypeVar("D", bound=BaseModel)
Result = RunDocument | ScanDocument | LineageDocument | DiffDocument | VerifyDocument | GateDocument
"""Every kind of stored result."""


def result_json(document: BaseModel) -> str:
    """
    Any stored result as indented JSON, ending in a newline; the same bytes for the same document.

    A lone surrogate (not valid in UTF-8) becomes U+FFFD: a finished run must not be lost to it.
    """
    try:
        text = document.model_dump_json(by_alias=True, indent=2)
    except PydanticSerializationError:
        plain = _without_surrogates(document.model_dump(by_alias=True))
        text = type(document).model_validate(plain).model_dump_json(by_alias=True, indent=2)
    return text + "\n"


def write_result(path: Path | str, document: BaseModel) -> None:
    """
    Store any result under the path: wholly or not at all.

    Raises:
        UndertowError: if the file system refuses (no space, no permission, no such directory).
    """
    target = Path(path)
    try:
        with whole_file(target) as file:
            file.write(result_json(document).encode())
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
    return _read(Path(path), RUN_FILE, _RUN)


def read_scan(path: Path | str) -> ScanDocument:
    """
    The document stored under the path (the file, or a directory that holds `scan.json`).

    Raises:
        InputError: as `read_run`.
    """
    return _read(Path(path), SCAN_FILE, _SCAN)


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


def _read(path: Path, file: str, form: Form[D]) -> D:
    source = path / file if path.is_dir() else path
    text = text_of(source, name=form.name, again=form.again)
    tables = tables_of(text, source, again=form.again)
    form_of(tables, source, {form.schema: form}, again=form.again)
    return document_of(text, source, form)


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
