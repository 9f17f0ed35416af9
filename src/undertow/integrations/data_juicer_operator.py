"""The screen as a filter of data-juicer: marks as statistics of each sample; name this file in `custom_operator_paths`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_juicer.ops.base_op import OPERATORS, Filter
from data_juicer.utils.constant import Fields

from undertow.integrations.datasets_map import MapScreen
from undertow.integrations.row_screen import RowScreen, drops, reasons


@OPERATORS.register_module("undertow_filter")
class UndertowFilter(Filter):  # type: ignore[misc]
    """
    Puts the marks of each row among its statistics, and keeps rows that have none of those named in `drop`.

    In a recipe: `process: [{undertow_filter: {traits: [owl], drop: [hidden]}}]`. What was marked is judged at the end by
    `conclude(tally_of(dataset, within=Fields.stats), ...)`.
    """

    _batched_op = True

    def __init__(
        self,
        traits: list[str] | None = None,
        student: str | None = None,
        drop: list[str] | None = None,
        *arguments: Any,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.screen, self.drop = (
            MapScreen(RowScreen(tuple(traits or ()), student)),
            drops(drop or ()),
        )

    def compute_stats_batched(self, samples: dict[str, Any], *given: Any, **named: Any) -> Any:
        """Marks of a batch, beside the statistics of other operators."""
        columns = {name: column for name, column in samples.items() if name != Fields.stats}
        marks = self.screen(columns)
        for i, statistics in enumerate(samples[Fields.stats]):
            statistics.update({name: column[i] for name, column in marks.items()})
        return samples

    def process_batched(self, samples: dict[str, Any]) -> Iterator[bool]:
        """Which samples are kept."""
        return (not reasons(marks, self.drop) for marks in samples[Fields.stats])
