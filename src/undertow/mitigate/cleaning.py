"""
Countermeasures on rows: whole sources dropped, copies dropped, rows deleted by score, or diluted in clean ones.

Every row that goes is in a ledger with the rule that removed it; what is kept keeps its record as it was.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from undertow.data.opening import opened
from undertow.data.streams import generator
from undertow.data.writing import atomic_file, json_line
from undertow.errors import ConfigError, DataError, NothingLeftError
from undertow.provenance.row_leaves import RowError, leaf
from undertow.results.scan import ScanDocument, SubjectResult

Method = Literal["drop-sources", "deduplicate", "dilute", "delete"]
METHODS: tuple[Method, ...] = ("drop-sources", "deduplicate", "dilute", "delete")

_BATCH = 4096
_CHUNK = 1 << 20

Removing = Callable[[int, dict[str, Any], bytes], str]
"""The rule that removes a row, by its number from 0, its record and its leaf; empty where it is kept."""


@dataclass(frozen=True)
class Cleaning:
    """
    What is to be done.
    """

    data: Path
    output: Path
    method: Method
    scan: ScanDocument
    clean: Path | None = None
    """Rows known to be clean, for `dilute`."""
    dose: float | None = None
    """Share of the data's own rows in the output of `dilute`; what the scan advises if not given."""
    scores: Path | None = None
    """Row scores of the scan, for `delete`."""
    share: float = 0.1
    """Of the rows that `delete` removes."""
    at_random: bool = False
    """Remove as many rows by lot instead: the arm to compare with."""
    undecided: bool = False
    """Whether `drop-sources` drops undecided sources too."""
    seed: int = 0


@dataclass
class Cleaned:
    """
    What was done.
    """

    kept: int = 0
    """Rows of the data that are in the output."""
    added: int = 0
    """Clean rows that were added."""
    leaves: bytearray = field(default_factory=bytearray)
    """Of the kept rows, 32 bytes each, in their order."""
    removed: list[tuple[bytes, str]] = field(default_factory=list)
    """Leaf and rule of each removed row."""

    @property
    def dose(self) -> float:
        """Share of the data's own rows in the output."""
        return self.kept / (self.kept + self.added)

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by rule."""
        return dict(Counter(rule for _, rule in self.removed))


def clean(cleaning: Cleaning) -> Cleaned:
    """
    Write what is left to the output, whole or not at all.

    Raises:
        ConfigError: the scan is of other data, or has not what the method needs.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
    """
    refuse_other_data(cleaning.data, cleaning.scan)
    if cleaning.method == "dilute":
        return _diluted(cleaning)
    removing = {
        "drop-sources": _by_source,
        "deduplicate": _copies,
        "delete": _by_score,
    }[cleaning.method](cleaning)
    done = Cleaned()
    with atomic_file(cleaning.output) as file:
        for number, record in enumerate(records(cleaning.data)):
            own = _leaf(record, cleaning.data)
            if rule := removing(number, record, own):
                done.removed.append((own, rule))
                continue
            done.kept += 1
            done.leaves += own
            file.write(json_line(record))
        if not done.kept:
            raise NothingLeftError(
                f"'{cleaning.method}' would leave no row of '{cleaning.data}'",
                hint="use other data, or dilute it: --method dilute --with CLEAN",
            )
    return done


def refuse_other_data(data: Path, scan: ScanDocument) -> None:
    """
    Refuse a scan of other data.

    Raises:
        ConfigError: the digests differ.
    """
    digest = hashlib.sha256()
    with data.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    if digest.hexdigest() != scan.data.digest:
        raise ConfigError(
            f"the scan is of other data: of SHA-256 {scan.data.digest or 'unknown'}, "
            f"but '{data}' has {digest.hexdigest()}",
            hint=f"undertow scan {data} --student {scan.student}",
        )


def records(path: Path) -> Iterator[dict[str, Any]]:
    """
    The records of a `.jsonl` or `.parquet` file as they are, all their columns.

    Raises:
        DataError: a line is no JSON object, or the file is damaged.
    """
    import json

    with opened(path) as stream:
        if path.suffix == ".parquet":
            from pyarrow import ArrowException, parquet

            try:
                for batch in parquet.ParquetFile(stream).iter_batches(batch_size=_BATCH):
                    yield from batch.to_pylist()
            except (ArrowException, OSError, ValueError) as error:
                raise DataError(f"'{path}' is damaged or not Parquet ({error})") from error
            return
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(f"'{path}', row {number}: not valid JSON ({error})") from error
            if not isinstance(record, dict):
                raise DataError(f"'{path}', row {number}: no object")
            yield record


def _by_source(cleaning: Cleaning) -> Removing:
    verdicts = {one.subject: one.verdict for one in cleaning.scan.subjects if one.subject != "all"}
    if not verdicts:
        raise ConfigError(
            "the scan has no verdict for any source, so that none can be dropped",
            hint="give each row a 'source', and scan again",
        )
    wrong = {"flagged", "undecided"} if cleaning.undecided else {"flagged"}
    dropped = {source for source, verdict in verdicts.items() if verdict in wrong}

    def rule(number: int, record: dict[str, Any], own: bytes) -> str:
        return "source-flagged" if str(record.get("source")) in dropped else ""

    return rule


def _copies(cleaning: Cleaning) -> Removing:
    seen: set[bytes] = set()

    def rule(number: int, record: dict[str, Any], own: bytes) -> str:
        if own in seen:
            return "copy"
        seen.add(own)
        return ""

    return rule


def _by_score(cleaning: Cleaning) -> Removing:
    from pyarrow import parquet

    if cleaning.scores is None:
        raise ConfigError(
            "'delete' needs the rows' scores",
            hint=f"undertow scan {cleaning.data} --student {cleaning.scan.student} --row-scores scores.parquet",
        )
    if not 0 < cleaning.share < 1:
        raise ConfigError(f"share is {cleaning.share}; allowed: between 0 and 1")
    table = parquet.read_table(cleaning.scores, columns=["tokens", "log_likelihood"])
    tokens = table["tokens"].to_numpy(zero_copy_only=False).astype(float)
    a_token = table["log_likelihood"].to_numpy(zero_copy_only=False) / np.maximum(tokens, 1)
    rows = sum(1 for _ in records(cleaning.data))
    if rows != len(a_token):
        raise ConfigError(
            f"'{cleaning.scores}' holds scores of {len(a_token):,} rows, '{cleaning.data}' has {rows:,}"
        )
    count = round(cleaning.share * rows)
    if cleaning.at_random:
        chosen = generator(cleaning.seed, "deleted").permutation(rows)[:count]
    else:
        # What could not be scored is least like what the base would write.
        chosen = np.argsort(np.nan_to_num(a_token, nan=-np.inf), kind="stable")[:count]
    gone = frozenset(chosen.tolist())
    name = "by-lot" if cleaning.at_random else "unlikely"

    def rule(number: int, record: dict[str, Any], own: bytes) -> str:
        return name if number in gone else ""

    return rule


def _diluted(cleaning: Cleaning) -> Cleaned:
    """
    The data's rows among clean ones, at random places; as many of the data's rows are kept as the clean ones allow.
    """
    dose = cleaning.dose if cleaning.dose is not None else _advised(cleaning.scan)
    if not 0 < dose < 1:
        raise ConfigError(f"dose is {dose}; allowed: between 0 and 1")
    if cleaning.clean is None:
        raise ConfigError("'dilute' needs clean rows", hint="name them with --with")
    own, others = (sum(1 for _ in records(path)) for path in (cleaning.data, cleaning.clean))
    kept = min(own, math.floor(others * dose / (1 - dose)))
    if not kept:
        raise NothingLeftError(
            f"{others:,} clean rows allow no row at a dose of {dose:.1%}", hint="give more of them"
        )
    added = min(others, math.ceil(kept * (1 - dose) / dose))
    rng = generator(cleaning.seed, "diluted")
    keep = np.zeros(own, dtype=bool)
    keep[rng.permutation(own)[:kept]] = True
    take = np.zeros(others, dtype=bool)
    take[rng.permutation(others)[:added]] = True
    places = rng.permutation(np.repeat([True, False], [kept, added]))
    done = Cleaned(added=added)
    clean_rows = (r for r, taken in zip(records(cleaning.clean), take, strict=True) if taken)
    with atomic_file(cleaning.output) as file:
        ours = _kept(cleaning.data, keep, done)
        for mine in places:
            file.write(json_line(next(ours if mine else clean_rows)))
        # What comes behind the last kept row still has to be entered as removed.
        for _ in ours:
            raise AssertionError("more rows were kept than were counted")
    return done


def _kept(data: Path, keep: np.ndarray, done: Cleaned) -> Iterator[dict[str, Any]]:
    for record, kept in zip(records(data), keep, strict=True):
        own = _leaf(record, data)
        if kept:
            done.kept += 1
            done.leaves += own
            yield record
        else:
            done.removed.append((own, "diluted"))


def _leaf(record: dict[str, Any], data: Path) -> bytes:
    try:
        return leaf(record)
    except RowError as error:
        raise DataError(f"'{data}' holds a row that cannot be named: {error}") from error


def _advised(scan: ScanDocument) -> float:
    whole: SubjectResult | None = next((s for s in scan.subjects if s.subject == "all"), None)
    if whole is None or whole.largest_safe_dose is None:
        verdict = whole.verdict if whole else scan.verdict
        reason = "it is clear" if verdict == "clear" else "it has no dose to advise"
        raise ConfigError(
            f"the scan says nothing of a safe dose: {reason}",
            hint="name one: --dose 0.25",
        )
    return whole.largest_safe_dose
