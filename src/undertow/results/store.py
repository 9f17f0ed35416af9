"""Stored results on disk: strict reading, atomic writing, and the published JSON Schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

from undertow.data.files import whole_file
from undertow.data.strict_json import NOT_FINITE, Form, document_of, form_of, tables_of, text_of
from undertow.errors import UndertowError
from undertow.results.measurement import OF_REFERENCES
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
from undertow.results.scan_document import (
    FORMER_SCHEMA,
    SCAN_SCHEMA,
    AnyScan,
    FormerScanDocument,
    ScanDocument,
)

RUN_FILE = "results.json"
SCAN_FILE = "scan.json"
LINEAGE_FILE = "lineage.json"
DIFF_FILE = "diff.json"
GATE_FILE = "gate.json"
"""What a directory holds of a run, of a screen, of a lineage, of a diff and of a decision."""

SCANS = "scans"
"""The folder of a run directory in which scans of its rows lie, each in a folder of its own."""

GATES = "gates"
"""The same of decisions about them."""

_RUN = Form(RUN_SCHEMA, RunDocument, "run", "undertow run owl")
_SCAN = Form(SCAN_SCHEMA, ScanDocument, "scan", "undertow scan DATA --student MODEL")
_FORMER_SCAN = Form(FORMER_SCHEMA, FormerScanDocument, _SCAN.name, _SCAN.again)
_VERIFY = Form(
    VERIFY_SCHEMA, VerifyDocument, "verification", "undertow verify DATA --out FILE.json"
)
_GATE = Form(
    GATE_SCHEMA, GateDocument, "decision", "undertow gate DATA --student MODEL --policy NAME"
)

_LINEAGE = Form(LINEAGE_SCHEMA, LineageDocument, "lineage", "undertow lineage STUDENT TEACHER")
_DIFF = Form(DIFF_SCHEMA, DiffDocument, "diff", "undertow diff BASE TUNED")
_WRITTEN: tuple[Form[Any], ...] = (_RUN, _SCAN, _LINEAGE, _DIFF, _VERIFY, _GATE)
_READ: tuple[Form[Any], ...] = (*_WRITTEN, _FORMER_SCAN)
_ACTING = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Within strings alone, since JSON has none of them elsewhere."""

_FILES = (RUN_FILE, SCAN_FILE, LINEAGE_FILE, DIFF_FILE, GATE_FILE)

Result = RunDocument | AnyScan | LineageDocument | DiffDocument | VerifyDocument | GateDocument
"""Every kind of stored result."""


def result_json(document: BaseModel) -> str:
    """
    Any stored result as indented JSON, ending in a newline; the same bytes for the same document.

    A lone surrogate (not valid in UTF-8) becomes U+FFFD: a finished run must not be lost to it. Characters that act on a
    terminal, or on the order of others, stand there as escapes, which JSON reads as the same.
    """
    try:
        text = document.model_dump_json(by_alias=True, indent=2)
    except PydanticSerializationError:
        plain = _without_surrogates(document.model_dump(by_alias=True))
        text = type(document).model_validate(plain).model_dump_json(by_alias=True, indent=2)
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


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
    run: RunDocument = _read(Path(path), RUN_FILE, _RUN)
    return run


def read_scan(path: Path | str) -> AnyScan:
    """
    The document stored under the path (the file, or a directory that holds `scan.json`), of either version.

    Raises:
        InputError: as `read_run`.
    """
    scan: AnyScan = _read(Path(path), SCAN_FILE, _SCAN, _FORMER_SCAN)
    return scan


def read_run_scans(path: Path | str) -> tuple[AnyScan, ...]:
    """
    The scans that lie beside a run's document, by the names of their folders; none where there are none.

    `path` is that of `read_run`: the document or its directory.

    Raises:
        InputError: as `read_run`, of a scan.
    """
    return tuple(map(read_scan, _beside(path, SCANS, SCAN_FILE)))


def read_run_gates(path: Path | str) -> tuple[GateDocument, ...]:
    """
    The decisions that lie there likewise.

    Raises:
        InputError: as `read_run`, of a decision.
    """
    return tuple(_read(gate, GATE_FILE, _GATE) for gate in _beside(path, GATES, GATE_FILE))


def _beside(path: Path | str, folder: str, file: str) -> list[Path]:
    source = Path(path)
    run = source if source.is_dir() else source.parent
    return sorted((run / folder).glob(f"*/{file}"))


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
    again = f"name one of {', '.join(_FILES)}, or its folder"
    text = text_of(source, name="result", again=again)
    forms: dict[str, Form[Any]] = {form.schema: form for form in _READ}
    form = form_of(tables_of(text, source, again=again), source, forms, again=again)
    found: Result = document_of(text, source, form)
    return found


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (draft 2020-12) of every kind of result that is written, by its name and version, e.g. `run-1`."""
    return {
        form.schema.removeprefix("undertow.").replace("/", "-"): _schema(form.model)
        for form in _WRITTEN
    }


class _SchemaOfStored(GenerateJsonSchema):
    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}]}


class _SchemaOfModels(_SchemaOfStored):
    """Of what is said of models: a published enumeration does not grow by words that only a scan uses."""

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        words = [word for word in schema["expected"] if word not in OF_REFERENCES]
        return super().literal_schema({**schema, "expected": words})


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    of_models = issubclass(model, DiffDocument | LineageDocument)
    generator = _SchemaOfModels if of_models else _SchemaOfStored
    schema = model.model_json_schema(by_alias=True, schema_generator=generator)
    # The discriminating key has a default in Python, but a file without it is refused.
    required = ["schema", *schema["required"]]
    return {"$schema": generator.schema_dialect, **schema, "required": required}


def _read(path: Path, file: str, *forms: Form[Any]) -> Any:
    source = path / file if path.is_dir() else path
    name, again = forms[0].name, forms[0].again
    text = text_of(source, name=name, again=again)
    tables = tables_of(text, source, again=again)
    form = form_of(tables, source, {each.schema: each for each in forms}, again=again)
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
