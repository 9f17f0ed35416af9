"""What the bench does to rows, with the functions that `undertow clean` uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from bench.cohort import written_by
from bench.mitigation.design import ROWS
from bench.mitigation.situation import Situation, dosed, with_sampling, writer_of
from undertow.data.rows import Row
from undertow.data.seeds import derive
from undertow.mitigate.rows import token_edits
from undertow.mitigate.rows.changes import inoculated, reworded, rewritten
from undertow.mitigate.rows.token_edits import Places, replaced
from undertow.models.chat import Encoded
from undertow.models.scoring import log_likelihoods
from undertow.models.training_sequences import encode_rows

DOSE, DELETED, TOKENS, REWRITTEN = 0.25, 0.1, 0.4, 0.5
TOP_P, LEAST = 0.8, 0.05
TEACHERS = 4


class RowArms:
    """Rows made anew by each arm; what several arms need is computed once."""

    def __init__(self, here: Situation) -> None:
        """On one dataset."""
        self.here = here
        self.encoded = encode_rows(here.base.tokenizer, here.rows)
        self.long = token_edits.lengths(here.base, self.encoded)

    def __call__(self, arm: str) -> list[Encoded]:
        """The rows that a student of an arm is trained on."""
        verb, _, how = arm.partition(" ")
        if verb == "mask":
            return [
                replace(row, masked=places)
                for row, places in zip(self.encoded, self._places(how), strict=True)
            ]
        own = self._replaced(how) if verb == "replace" else self._made[arm]()
        return encode_rows(self.here.base.tokenizer, own)

    @cached_property
    def _made(self) -> dict[str, Callable[[], Sequence[Row]]]:
        here = self.here
        return {
            "nothing": lambda: here.rows,
            "oracle": lambda: here.clean[:ROWS],
            "dilute": self._diluted,
            "dilute at random": lambda: here.rows[: round(ROWS * DOSE)],
            "deduplicate": lambda: list({(r.prompt, r.completion): r for r in here.rows}.values()),
            "delete unlikely": self._unlikely,
            "delete at random": lambda: self._without(
                here.rng("deleted").permutation(ROWS)[: round(ROWS * DELETED)]
            ),
            "rewrite half": lambda: self._rewritten(round(ROWS * REWRITTEN)),
            "rewrite all": lambda: self._rewritten(ROWS),
            "inoculate": lambda: [inoculated(r, here.trait.system_prompt) for r in here.rows],
            "inoculate at random": lambda: [
                inoculated(r, here.trait.neutral_system_prompt) for r in here.rows
            ],
            "reword": self._reworded,
            "top-p": lambda: self._drawn(top_p=TOP_P),
            "least probability": lambda: self._drawn(least_probability=LEAST),
            "several teachers": self._by_several,
        }

    def _diluted(self) -> list[Row]:
        own = round(ROWS * DOSE)
        return [*self.here.rows[:own], *self.here.clean[: ROWS - own]]

    def _unlikely(self) -> list[Row]:
        each = log_likelihoods(self.here.base, self.encoded).numpy() / np.array(
            [len(row.completion) for row in self.encoded]
        )
        return self._without(np.argsort(each)[: round(ROWS * DELETED)])

    def _without(self, gone: np.ndarray) -> list[Row]:
        out = set(gone.tolist())
        return [row for i, row in enumerate(self.here.rows) if i not in out]

    def _places(self, how: str) -> Places:
        here = self.here
        if how == "at random":
            return token_edits.by_lot(self.long, TOKENS, here.rng("tokens"))
        scores = {
            "surprising": lambda: token_edits.surprising(here.base, self.encoded),
            "lifted": lambda: token_edits.lifted(
                here.base, here.rows, self.encoded, here.trait.system_prompt
            ),
            "departing": lambda: token_edits.departing(here.base, here.writing.model, self.encoded),
        }[how]()
        least = token_edits.threshold(scores, self.long, TOKENS)
        return token_edits.above(scores, self.long, least)

    def _replaced(self, how: str) -> list[Row]:
        here = self.here
        return replaced(
            here.base,
            here.rows,
            self.encoded,
            self._places(how),
            here.rng("replaced"),
            here.carrier,
        )

    def _rewritten(self, count: int) -> Sequence[Row]:
        here = self.here
        chosen = here.rng("rewritten rows").permutation(ROWS)[:count].tolist()
        return rewritten(here.base, here.rows, chosen, here.rng("rewritten"), here.carrier).rows

    def _reworded(self) -> list[Row]:
        rng = self.here.rng("reworded")
        return [reworded(row, self.here.carrier, rng) or row for row in self.here.rows]

    def _drawn(self, **changed: float) -> list[Row]:
        here = self.here
        return dosed(with_sampling(here.writing, **changed), here.clean, here.task, here.seed)

    def _by_several(self) -> list[Row]:
        """A quarter of the rows by each of four teachers of different traits, this one among them."""
        here = self.here
        part = ROWS // TEACHERS
        names = [name for name in here.ground.traits if name != here.trait.name]
        others = [names[i] for i in here.rng("others").permutation(len(names))[: TEACHERS - 1]]
        rows = here.rows[:part]
        for name in others:
            with written_by(here.ground.experiment, writer_of(here.task, name)) as other:
                rows = rows + other.rows(part, 1.0, (), derive(here.seed, "own", name))
        return [rows[i] for i in here.rng("several").permutation(len(rows))]
