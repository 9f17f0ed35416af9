"""What is asked of a dataset's rows, what was done to them, and which scan it may be done by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from undertow.data.column_names import renamed
from undertow.data.dataset import open_dataset
from undertow.data.files import file_digest, model_digest
from undertow.data.leaf_file import LeafFile
from undertow.data.part_leaves import Survey, surveyed
from undertow.data.plan import LossPolicy, TrainingPlan
from undertow.data.records import bytes_here
from undertow.data.row_shapes import from_record
from undertow.data.rows import Row
from undertow.engines.ray_data import spread_of
from undertow.errors import ConfigError, DataError, NothingLeftError
from undertow.mitigate.rows.part_edits import Spread
from undertow.models.hardware import AUTO, ComputeTable
from undertow.provenance.ledger import Ledger
from undertow.results.scan_document import ALL, AnyScan
from undertow.worlds import locate

Changing = Literal["mask-tokens", "replace-tokens", "rewrite", "inoculate", "reword"]
Method = Literal["drop-sources", "deduplicate", "delete", "dilute"] | Changing

CHANGING: tuple[Changing, ...] = get_args(Changing)
"""What leaves rows in their places, but not as they were."""

DELETED = 0.1
"""Share of the rows that `delete` removes if nothing else is said."""

TOKENS = 0.4
"""Share of the tokens that are left out of the loss or replaced if nothing else is said."""


@dataclass(frozen=True)
class Cleaning:
    """What is to be done."""

    data: str
    """As the user named it."""
    output: Path
    method: Method
    scan: AnyScan
    clean: str | None = None
    """Rows known to be clean, for `dilute`."""
    dose: float | None = None
    """
    Share of the data's own rows in the output of `dilute`, or share of its rows that `rewrite` leaves; what the scan
    advises if not given.
    """
    scores: Path | None = None
    """Row scores of the scan, for `delete`."""
    share: float | None = None
    """Of the rows that `delete` removes, or of the tokens that are left out or replaced."""
    at_random: bool = False
    """Take as many by lot instead: the arm to compare with."""
    undecided: bool = False
    """Whether `drop-sources` drops undecided sources too."""
    student: str | None = None
    """The base that will be trained, which scores and replaces tokens; the scan's if not given."""
    trait: str | None = None
    """Tokens are chosen by how far a system prompt that asks for this trait moves them; or its name for `inoculate`."""
    teacher: str | None = None
    """Tokens are chosen by how far this model departs from the student's base on them."""
    model: str | None = None
    """Who writes rows anew; the student's base if not given."""
    instruction: str | None = None
    """What that model is asked, with `{completion}` put in; the row's own prompt if not given."""
    system: str | None = None
    """System prompt of `inoculate`; the trait's own if not given."""
    seed: int = 0
    engine: str | None = None
    """How reading and removing rows is spread; over processes where there is enough to read, if None."""
    jobs: int | None = None
    gpus: float | None = None
    """Of a Ray node, for each worker that opens models; 1, if the cluster has any, where None."""
    memory: float | None = None
    """GB that such a worker takes of a Ray node; not counted where None."""
    compute: ComputeTable = AUTO
    """Where and in which precision its models run."""

    @property
    def base(self) -> str:
        """The student's base."""
        return self.student or self.scan.student

    @property
    def policy(self) -> LossPolicy:
        """How the scan's plan writes rows, and what it learns of them."""
        known = {
            key: self.scan.plan[key]
            for key in ("loss", "wrap", "template")
            if key in self.scan.plan
        }
        return TrainingPlan.model_validate(known).policy


@dataclass
class Cleaned:
    """What was done."""

    entries: Ledger = field(default_factory=Ledger)
    """What became of each row of the data."""
    added: int = 0
    """Clean rows that were added."""
    settings: dict[str, str] = field(default_factory=dict)
    """How rows were changed, for the attestation."""
    model: tuple[str, str] | None = None
    """Name and digest of the model that chose or wrote what is new."""

    @property
    def kept(self) -> int:
        """Rows of the data that are as they were."""
        return self.entries.rows_kept

    @property
    def changes(self) -> dict[str, int]:
        """Changed rows by what was changed."""
        return self.entries.changes

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by rule."""
        return self.entries.counts

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.entries.rows_out + self.added

    @property
    def dose(self) -> float:
        """Share of the data's own rows in the output."""
        return 1 - self.added / self.rows


@dataclass(frozen=True)
class RowsAsScanned:
    """The rows that a scan was made of, as they lie, and how reading them is spread."""

    survey: Survey
    spread: Spread | None = None
    leaves: LeafFile | None = None
    """Of all rows in their order, where they are needed."""


def scanned_rows(cleaning: Cleaning, leaves: LeafFile | None = None) -> RowsAsScanned:
    """
    The rows as they lie; their leaves are kept where there is a place for them.

    Raises:
        ConfigError: the scan is of other data: the digests differ.
        DataError: a shard cannot be read.
    """
    data, scan = cleaning.data, cleaning.scan
    dataset = open_dataset(data)
    spread = spread_of(cleaning.engine, cleaning.jobs, bytes_here(dataset), 0.0, cleaning.memory)
    take = (lambda given: None) if leaves is None else leaves.extend
    survey = surveyed(dataset, spread, take)
    # Scans named their data by the bytes of its file once.
    if survey.digest == scan.data.digest or (
        Path(data).is_file() and file_digest(data) == scan.data.digest
    ):
        return RowsAsScanned(survey, spread, leaves)
    raise ConfigError(
        f"the scan is of other data: of digest {scan.data.digest or 'unknown'}, but '{data}' has {survey.digest}",
        hint=f"undertow scan {data} --student {scan.student}",
    )


def spread_of_models(cleaning: Cleaning) -> Spread | None:
    """How work is spread for which each worker opens models: in this process, where no engine is named."""
    if cleaning.engine is None:
        return None
    size = bytes_here(open_dataset(cleaning.data))
    return spread_of(cleaning.engine, cleaning.jobs, size, cleaning.gpus, cleaning.memory)


def refuse_other_student(cleaning: Cleaning) -> None:
    """
    Refuse a scan for another student's base.

    Raises:
        ConfigError: the digests differ.
    """
    scan = cleaning.scan
    if model_digest(locate(cleaning.base)) != scan.student_digest:
        raise ConfigError(
            f"the scan is for another student: '{scan.student}' as it was then, not '{cleaning.base}'",
            hint=f"undertow scan {cleaning.data} --student {cleaning.base}",
        )


def as_scanned(cleaning: Cleaning, record: dict[str, Any]) -> dict[str, Any]:
    """The record with its columns under the names that the scan gave them (`--columns`)."""
    columns = cleaning.scan.data.columns
    made = renamed(record, columns) if columns else record
    assert isinstance(made, dict)
    return made


def row_of(record: object, place: str, *, wrapped: bool) -> Row:
    """
    A record as a row; `place` names it, and `wrapped` is whether the scan's plan puts strings into the chat template.

    Raises:
        DataError: it has no shape of a row.
    """
    try:
        return from_record(record, wrapped=wrapped)
    except ValueError as error:
        raise DataError(f"{place}: {error}", hint=getattr(error, "hint", "")) from error


def refuse_nothing_left(cleaning: Cleaning, done: Cleaned) -> None:
    """
    Refuse an output without rows.

    Raises:
        NothingLeftError: there is none.
    """
    if not done.rows:
        raise NothingLeftError(
            f"'{cleaning.method}' would leave no row of '{cleaning.data}'",
            hint="use other data, or dilute it: --method dilute --with CLEAN",
        )


def dose_of(cleaning: Cleaning) -> float:
    """
    The share of the data's own rows that may be there, as asked for or as the scan advises.

    Raises:
        ConfigError: it is no share, or the scan advises none.
    """
    if cleaning.dose is not None:
        if not 0 < cleaning.dose < 1:
            raise ConfigError(f"dose is {cleaning.dose}; allowed: between 0 and 1")
        return cleaning.dose
    scan = cleaning.scan
    whole = next((each for each in scan.subjects if each.subject == ALL), None)
    if whole is None or whole.largest_safe_dose is None:
        verdict = whole.verdict if whole else scan.verdict
        good = verdict in ("clear", "within")
        reason = f"it is '{verdict}'" if good else "it has no dose to advise"
        raise ConfigError(
            f"the scan says nothing of a safe dose: {reason}", hint="name one: --dose 0.25"
        )
    if whole.largest_safe_dose >= 1:
        raise ConfigError(
            "the scan finds the whole dataset safe: nothing is to be diluted or rewritten",
            hint="name a dose if you want to all the same: --dose 0.25",
        )
    return whole.largest_safe_dose


def refuse_share(share: float) -> float:
    """
    The share, if it is one.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share is {share}; allowed: between 0 and 1")
    return share
