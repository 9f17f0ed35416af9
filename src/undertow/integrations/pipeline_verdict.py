"""What the tasks of a pipeline keep of what they saw, and the verdict on the whole at its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, StrictInt, StrictStr, ValidationError

from undertow.data.closed import Closed
from undertow.data.files import atomic_file, atomic_write
from undertow.data.observations import digests
from undertow.data.remote_files import is_url
from undertow.data.row_records import json_line, to_record
from undertow.data.rows import Row
from undertow.data.seeds import Keys, LowestKeys, keyed
from undertow.data.strict_json import objects_of_lines
from undertow.errors import DataError, InputError, NothingLeftError, first_line
from undertow.integrations.row_screen import FAULT, HIDDEN, OPENLY, PREFIX, row_in

if TYPE_CHECKING:
    from undertow.results.scan_document import ScanDocument

SAMPLE = 8192
"""Rows that are kept for the verdict, as many as a scan's models see."""


class _Part(Closed):
    """First line of what a task of a pipeline leaves."""

    seed: StrictInt
    size: Annotated[StrictInt, Field(ge=0)]
    rows: Annotated[StrictInt, Field(ge=0)]
    counts: list[tuple[StrictStr, StrictStr, StrictInt]]
    of: Annotated[StrictInt, Field(ge=1)]


class _Sampled(Closed):
    """Its other lines."""

    name: StrictStr
    row: StrictStr


class Tally:
    """
    Running counts over the marks of a dataset or a part of it, and a uniform sample of its rows.

    A row's random key comes of its name, so that parts of a dataset merge to the sample of the whole, whatever worker had
    which rows.
    """

    def __init__(self, seed: int = 0, size: int = SAMPLE) -> None:
        """`size` is how many rows are sampled at most."""
        self.seed, self.size = seed, size
        self.rows = 0
        """With those that give no row."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Rows by column (`fault`, `hidden`, `openly`) and what it names."""
        self._sampled: LowestKeys[tuple[str, str]] = LowestKeys(size)

    def take(
        self,
        records: Sequence[Mapping[str, Any]],
        marks: Sequence[Mapping[str, Any]],
        names: Sequence[str],
    ) -> None:
        """Count a batch; `names` tell the rows of the dataset apart, e.g. `FILE/NUMBER`."""
        self.rows += len(records)
        for marked in marks:
            for column in (FAULT, HIDDEN, OPENLY):
                for what in filter(None, str(marked[column]).split(", ")):
                    self.counts[column.removeprefix(PREFIX), what] += 1
        keys = self._keys(names)
        wanted = [
            i
            for i, marked in enumerate(marks)
            if not marked[FAULT] and keys[i] <= self._sampled.limit
        ]
        rows = [row_in(records[i]) for i in wanted]
        texts = [
            json.dumps(to_record(row), ensure_ascii=False) for row in rows if isinstance(row, Row)
        ]
        self._sampled.add(
            keys[wanted], [(names[i], text) for i, text in zip(wanted, texts, strict=True)]
        )

    def add(self, other: Tally) -> None:
        """Take what another part counted."""
        self.rows += other.rows
        self.counts += other.counts
        self._sampled.add(*other._sampled.lowest())

    def __len__(self) -> int:
        """Rows that are sampled."""
        return len(self._sampled.lowest()[1])

    @property
    def usable(self) -> int:
        """Rows that are rows."""
        return self.rows - sum(n for (column, _), n in self.counts.items() if column == "fault")

    def sample(self) -> list[str]:
        """The sampled rows as JSON, in an order that does not depend on the parts."""
        keys, items = self._sampled.lowest()
        return [items[i][1] for i in np.argsort(keys, kind="stable")]

    def write(self, path: Path, of: int) -> None:
        """Keep it as one of so many parts for `merged`."""
        counts = [(column, what, n) for (column, what), n in sorted(self.counts.items())]
        about = _Part(seed=self.seed, size=self.size, rows=self.rows, counts=counts, of=of)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(json_line(about.model_dump()))
            for name, text in self._sampled.lowest()[1]:
                file.write(json_line({"name": name, "row": text}))

    @classmethod
    def read(cls, path: Path) -> tuple[int, Tally]:
        """
        What was written, behind the number of parts that it is one of.

        Raises:
            DataError: it is damaged.
        """
        lines = (record for _, record in objects_of_lines(path, what="part of a pipeline"))
        try:
            about = _Part.model_validate(next(lines, {}))
            rows = [_Sampled.model_validate(record) for record in lines]
        except ValidationError as error:
            raise DataError(
                f"'{path}' is no part of a pipeline, or a damaged one: {first_line(error)}",
                hint="remove it and run its task again",
            ) from error
        tally = cls(about.seed, about.size)
        tally.rows = about.rows
        tally.counts.update({(column, what): n for column, what, n in about.counts})
        tally._sampled.add(
            tally._keys([one.name for one in rows]), [(one.name, one.row) for one in rows]
        )
        return about.of, tally

    def _keys(self, names: Sequence[str]) -> Keys:
        return keyed(digests(name.encode(errors="surrogatepass") for name in names), self.seed)


def merged(parts: Path | str) -> Tally:
    """
    What all tasks of a pipeline counted, from the folder in which each left its part.

    Raises:
        InputError: a part is missing, or they are of several pipelines, or the folder is a URL.
    """
    paths = sorted(folder_here(parts).glob("*.part.jsonl"))
    if not paths:
        raise InputError(
            f"'{parts}' holds no parts (*.part.jsonl)",
            hint="name the folder that the step was given, and run the pipeline to its end",
        )
    read = [Tally.read(path) for path in paths]
    kinds = {(of, tally.seed, tally.size) for of, tally in read}
    if len(kinds) > 1:
        raise InputError(
            f"'{parts}' holds parts of several pipelines",
            hint="give each pipeline a folder of its own",
        )
    if len(read) != read[0][0]:
        raise InputError(
            f"'{parts}' holds {len(read)} parts of {read[0][0]}",
            hint="run the pipeline to its end",
        )
    whole = read[0][1]
    for _, tally in read[1:]:
        whole.add(tally)
    return whole


@dataclass(frozen=True)
class PipelineVerdict:
    """What is said of a dataset at the end of a pipeline."""

    verdict: str
    """That of the scan of a uniform sample; `undecided` where no student was named."""
    conclusion: str
    rows: int
    usable: int
    counts: dict[str, dict[str, int]]
    """Rows by what was seen in them: `fault`, `hidden`, `openly`."""
    scan: ScanDocument | None


def conclude(
    tally: Tally, out: Path | str, student: str | None = None, **scanned: Any
) -> PipelineVerdict:
    """
    Judge what a pipeline saw: leaves `sample.jsonl`, `rows.json`, and of a scan `scan.json` and `report.html` in `out`.

    The scan is `undertow scan` of the sample for the student, its plan as long as the whole dataset makes it; `scanned`
    are fields of its `ScanRequest`. Without a student nothing judges transfer: hidden text and open words are evidence
    that is counted, and no clearance.

    Raises:
        NothingLeftError: no record gave a row.
        InputError: of the scan, or the folder is a URL.
    """
    folder = folder_here(out)
    if not tally.usable:
        faults = ", ".join(f"{what} {n}" for (_, what), n in tally.counts.most_common())
        raise NothingLeftError(
            f"none of {tally.rows} records gives a row ({faults or 'nothing was read'})",
            hint="the shapes that a row may have: undertow explain scan#the-rows-and-what-is-learnt-of-them",
        )
    folder.mkdir(parents=True, exist_ok=True)
    sample = folder / "sample.jsonl"
    atomic_write(sample, "".join(text + "\n" for text in tally.sample()))
    document = None if student is None else _scan(tally, sample, student, folder, scanned)
    counts = {
        column: {what: n for (of, what), n in tally.counts.most_common() if of == column}
        for column in ("fault", "hidden", "openly")
    }
    verdict = PipelineVerdict(
        verdict="undecided" if document is None else document.verdict,
        conclusion=NO_STUDENT if document is None else document.conclusion,
        rows=tally.rows,
        usable=tally.usable,
        counts=counts,
        scan=document,
    )
    told = {name: value for name, value in vars(verdict).items() if name != "scan"}
    atomic_write(folder / "rows.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return verdict


NO_STUDENT = "no student was named, so nothing was rehearsed: what is counted is evidence alone."


def _scan(
    tally: Tally, sample: Path, student: str, folder: Path, scanned: Mapping[str, Any]
) -> ScanDocument:
    from undertow.audit.requests import ScanRequest
    from undertow.audit.scan import scan
    from undertow.report import render
    from undertow.results.store import SCAN_FILE, write_result
    from undertow.worlds.base_models import plan_for

    plan = plan_for(scanned.get("plan"), student)
    # The sample stands for the whole dataset, and a plan that counts in epochs is as long as that.
    times = max(1, tally.usable) / len(tally)
    whole = plan.model_copy(
        update={"max_steps": plan.steps(tally.usable), "epochs": plan.epochs * times + 1}
    )
    request = ScanRequest(data=str(sample), student=student, **{**scanned, "plan": whole})
    document = scan(request)
    write_result(folder / SCAN_FILE, document)
    atomic_write(folder / "report.html", render(document, "html"))
    return document


def folder_here(place: Path | str) -> Path:
    """
    A folder of this machine, or one that it sees as its own.

    Raises:
        InputError: it is a URL, of which a path would make folders named `s3:`.
    """
    if is_url(str(place)):
        raise InputError(
            f"'{place}' is a URL; allowed: a folder that all workers see under this name",
            hint="name a shared folder, and copy what it holds to the URL at the end",
        )
    return Path(place)
