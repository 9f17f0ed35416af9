"""The screen for `datasets.Dataset.map`, and the verdict on the dataset that it marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from undertow.errors import InputError
from undertow.integrations.pipeline_verdict import SAMPLE, Tally
from undertow.integrations.row_screen import FAULT, RowScreen

_BATCH = 1024


@dataclass(frozen=True)
class MapScreen:
    """
    `dataset.map(MapScreen(), batched=True)` adds the marks of each row as columns; also of an `IterableDataset`, and with
    `num_proc`.

    Datasets finds an earlier result again: the hash of its state is that of the screen's settings.
    """

    screen: RowScreen = field(default_factory=RowScreen)

    def __call__(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """
        Columns of a batch to the columns that are added.

        Raises:
            InputError: it was given one row.
        """
        if any(_is_of_one_row(name, value) for name, value in columns.items()):
            raise InputError(
                f"MapScreen takes a batch, and was given one row ({', '.join(columns)})",
                hint="dataset.map(MapScreen(), batched=True)",
            )
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        marks = self.screen(rows)
        return {name: [marked[name] for marked in marks] for name in marks[0]} if marks else {}


def _is_of_one_row(name: str, value: Any) -> bool:
    """Whether a column holds one row's value: of text its letters would be taken for rows, of turns each turn."""
    if value is None or isinstance(value, str | bytes | int | float | Mapping):
        return True
    return name == "messages" and len(value) > 0 and isinstance(value[0], Mapping)


def tally_of(
    rows: Iterable[Mapping[str, Any]], *, within: str = "", sample: int = SAMPLE, seed: int = 0
) -> Tally:
    """
    What is counted of marked rows in their order: a `Dataset`, or any records whose columns hold the marks.

    `within` is a column that holds the marks of a row as a mapping, as data-juicer's statistics do.

    Raises:
        InputError: the rows are not marked.
    """
    tally, remaining, done = Tally(seed, sample), iter(rows), 0
    while batch := list(islice(remaining, _BATCH)):
        marks = [row.get(within) or {} if within else row for row in batch]
        for number, marked in enumerate(marks, start=done + 1):
            if FAULT not in marked:
                raise InputError(
                    f"row {number} is not marked: '{FAULT}' is none of {', '.join(marked) or 'its columns'}",
                    hint="dataset.map(MapScreen(), batched=True) first, and keep the columns that it adds",
                )
        tally.take(
            [{name: row[name] for name in row if name != within} for row in batch],
            marks,
            [str(number) for number in range(done, done + len(batch))],
        )
        done += len(batch)
    return tally
