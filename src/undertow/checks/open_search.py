"""
The open search: which probes and next tokens, of hundreds that nobody named, move when a student rehearses the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.checks.dataset.subject import Subject
from undertow.data.streams import derive, generator
from undertow.results.scan import Moved
from undertow.stats.designs import smallest_p_two_sample
from undertow.stats.moderated import moderated_t, t_of_splits
from undertow.stats.multiplicity import holm
from undertow.stats.permutation import split_rows
from undertow.stats.rearrangements import RESAMPLES

if TYPE_CHECKING:
    from undertow.influence.probing import ProbeSet
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel
    from undertow.traits.trait import Trait

What = Literal["probe", "token"]
UNITS: dict[What, str] = {"probe": "logits", "token": "nats"}

ADAPTERS = 4
"""Rehearsals of the rows, and as many of the control."""

COPIES = 2
"""The same of a plan that trains all weights, each of which holds a copy of the network."""

FEWEST_ROWS = 16
"""Rows of one rehearsal below which nothing is searched."""

FINE_ENOUGH = 10
"""The permutation test is used where its least p is so many times below the error rate; else p would be a step or two."""

MOST_LISTED = 40
"""Probes, and tokens, that are named at most: rows on another subject than the control's move thousands of tokens."""


@dataclass(frozen=True)
class Item:
    """
    One thing that is looked at.
    """

    what: What
    name: str


def search(subject: Subject) -> tuple[Moved, ...]:
    """
    What the subject's rows move that is not among its traits, against rehearsals of its control; the least p first.

    Looked at is every trait and probe of the catalogue that the student's tokenizer has words for, and the
    log-probability of every next token after generic prompts. Each rehearsal trains a fresh adapter, as the check
    `rehearsal` does, but on a part of the rows that no other has: rehearsals of the same rows would share what is
    peculiar to this draw of rows, which the placebos lack, and a clean file would seem to move things.

    Empty where nothing moved; where there is no control; where rows or control are fewer than `FEWEST_ROWS` for each
    rehearsal; and for preference pairs.
    """
    rows, control = _usable(subject)
    runs = COPIES if subject.plan.method == "full" else ADAPTERS
    size = min(len(rows), len(control)) // runs
    if size < FEWEST_ROWS:
        return ()
    traits = _other_traits(subject)
    readout = _Readout.of(subject, traits)
    if not readout.items:
        return ()
    base = readout.read(subject.student)
    moved, placebo = (
        _rehearsed(subject, name, _dealt(encoded, runs, size, subject.seed, name), readout) - base
        for name, encoded in (("rows", rows), ("control", control))
    )
    # A network may give tokens that it never writes minus infinity, which moves by nothing that is a number.
    usable = np.isfinite(moved).all(0) & np.isfinite(placebo).all(0)
    items = [item for item, kept in zip(readout.items, usable, strict=True) if kept]
    return moved_most(
        moved[:, usable],
        placebo[:, usable],
        items,
        subject=subject.name,
        level=subject.level,
        rng=generator(subject.seed, "open search", "splits"),
    )


def moved_most(
    moved: NDArray[np.float64],
    placebo: NDArray[np.float64],
    items: Sequence[Item],
    *,
    subject: str,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> tuple[Moved, ...]:
    """
    The items whose shift in the runs `moved` (runs, items) is not that of the runs `placebo`, the least p first.

    The chance that any item is named although all runs are exchangeable is at most 1 - level. Where the runs have
    enough rearrangements (6 against 6 at .95), by the permutation test of the largest moderated |t| (Westfall and Young
    1993), which is exact. Where they are fewer (4 against 4 have 70, of which two are as extreme as the observed one),
    by moderated t with Holm's correction over all items, which takes errors to be about normal; so that a single wild
    run names nothing, an item is then named only if all of its runs `moved` lie on one side of all its placebos.
    Scales are pooled within probes and within tokens. At most `MOST_LISTED` of each are given.

    Raises:
        ValueError: the shapes do not fit, a value is not finite, there are fewer than three runs, or so many that
            splits are drawn and `rng` is missing.
    """
    if not items or moved.shape[1] != len(items) or placebo.shape[1] != len(items):
        raise ValueError(f"{len(items)} items, but runs of {moved.shape[1]} and {placebo.shape[1]}")
    kinds = np.array([item.what for item in items])
    groups = [np.flatnonzero(kinds == kind) for kind in UNITS if kind in kinds]
    if smallest_p_two_sample(len(moved), len(placebo)) * FINE_ENOUGH <= 1 - level + 1e-12:
        p = _by_permutation(moved, placebo, groups, rng)
    else:
        p = _by_moderated_t(moved, placebo, groups)
    estimate = moved.mean(0) - placebo.mean(0)
    named: list[Moved] = []
    for group in groups:
        first = group[np.lexsort((-np.abs(estimate[group]), p[group]))][:MOST_LISTED]
        named += [
            _moved(items[i], subject, estimate[i], p[i]) for i in first if p[i] <= 1 - level + 1e-12
        ]
    return tuple(sorted(named, key=lambda one: one.p))


def _moved(item: Item, subject: str, estimate: float, p: float) -> Moved:
    return Moved(
        subject=subject,
        what=item.what,
        name=item.name,
        estimate=float(estimate),
        unit=UNITS[item.what],
        p=float(p),
    )


def _by_permutation(
    moved: NDArray[np.float64],
    placebo: NDArray[np.float64],
    groups: Sequence[NDArray[np.intp]],
    rng: np.random.Generator | None,
) -> NDArray[np.float64]:
    n, m = len(moved), len(placebo)
    if n > m:  # The splits hold the smaller arm; |t| does not know which one that is.
        moved, placebo = placebo, moved
    splits = split_rows(n, m, rng, RESAMPLES)
    observed = np.empty(moved.shape[1])
    largest = np.zeros(len(splits))
    for group in groups:
        observed[group], of_splits = t_of_splits(moved[:, group], placebo[:, group], splits)
        largest = np.maximum(largest, of_splits)
    # What ties but for rounding counts as at least as large.
    ranked = np.sort(largest * (1 + 1e-9))
    return 1 - np.searchsorted(ranked, observed, side="left") / len(splits)


def _by_moderated_t(
    moved: NDArray[np.float64],
    placebo: NDArray[np.float64],
    groups: Sequence[NDArray[np.intp]],
) -> NDArray[np.float64]:
    p = np.ones(moved.shape[1])
    for group in groups:
        p[group] = moderated_t(moved[:, group], placebo[:, group]).p
    apart = (moved.min(0) > placebo.max(0)) | (moved.max(0) < placebo.min(0))
    return np.where(apart, holm(p), 1.0)


@dataclass(frozen=True)
class _Readout:
    """
    What is read off each rehearsed model, in the order of `items`.
    """

    items: tuple[Item, ...]
    probes: ProbeSet | None
    prompts: tuple[tuple[int, ...], ...]
    tokens: int
    """How many tokens the tokenizer names; networks are often padded beyond."""

    @classmethod
    def of(cls, subject: Subject, traits: Sequence[Trait]) -> _Readout:
        from undertow.influence.probing import probe_set
        from undertow.influence.token_readout import generic_prompts

        model, system = subject.student, subject.system_prompt
        prompts = generic_prompts(model, traits, system)
        width = int(model.network.get_output_embeddings().weight.shape[0])
        tokens = min(len(model.tokenizer), width) if prompts else 0
        probes = tuple(Item("probe", trait.name) for trait in traits)
        return cls(
            (*probes, *(Item("token", _token(model, i)) for i in range(tokens))),
            probe_set(model, traits, system) if traits else None,
            prompts,
            tokens,
        )

    def read(self, model: LanguageModel) -> NDArray[np.float64]:
        """Margins in logits, then log-probabilities in nats, (items,)."""
        from undertow.influence.token_readout import next_token_log_probabilities

        margins = self.probes.read(model).margins if self.probes else np.empty(0)
        if not self.prompts:
            return margins
        said = next_token_log_probabilities(model, self.prompts)[: self.tokens]
        return np.concatenate([margins, said])


def _token(model: LanguageModel, index: int) -> str:
    text = str(model.tokenizer.decode([index]))
    # Parts of one character have no text of their own.
    return str(model.tokenizer.convert_ids_to_tokens(index)) if "\ufffd" in text else text


def _usable(subject: Subject) -> tuple[list[Encoded], list[Encoded]]:
    if not subject.control or any(row.rejected is not None for row in subject.rows):
        return [], []
    limits = [n for n in (subject.plan.max_length, subject.student.context) if n is not None]
    longest = min(limits, default=None)
    rows, control = (
        [row for row in encoded if row.completion and (longest is None or len(row) <= longest)]
        for encoded in (subject.encoded, subject.encoded_control)
    )
    return rows, control


def _other_traits(subject: Subject) -> list[Trait]:
    from undertow.traits import catalogue, probe_catalogue

    probed = {trait.name for trait in subject.traits}
    everything = [catalogue.load(name) for name in catalogue.names()]
    everything += probe_catalogue.all_probes()
    others = [trait for trait in everything if trait.name not in probed]
    return list(probe_catalogue.askable(others, subject.student.tokenizer)[0])


def _dealt(
    rows: Sequence[Encoded], runs: int, size: int, seed: int, name: str
) -> list[list[Encoded]]:
    """
    `runs` parts of `size` rows, none in two of them.
    """
    order = generator(seed, "open search", name, "deal").permutation(len(rows))
    return [[rows[i] for i in order[k * size : (k + 1) * size]] for k in range(runs)]


def _rehearsed(
    subject: Subject, name: str, parts: Sequence[Sequence[Encoded]], readout: _Readout
) -> NDArray[np.float64]:
    """
    What is read at the end of one rehearsal on each part, (runs, items).
    """
    ...
