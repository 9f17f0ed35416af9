"""The open search: which probes and next tokens, of hundreds that nobody named, move when a student rehearses the rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from undertow import __version__
from undertow.data.finished import Finished
from undertow.influence.probes import (
    Readout,
    likeliest_tokens,
    next_token_log_probabilities,
    read_runs,
    token_name,
)
from undertow.models.kept_work import NOTHING_KEPT, KeptWork
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import Runs
from undertow.results.scan_document import Moved
from undertow.stats.conformal import joint_statistics, rank_p
from undertow.stats.designs import smallest_p_two_sample
from undertow.stats.multiplicity import EXACT_SPLITS, geometric_t, holm, moderated_t, step_down
from undertow.traits import catalogue
from undertow.traits.catalogue import askable
from undertow.traits.trait import Trait

What = Literal["probe", "token"]
UNITS: dict[What, str] = {"probe": "logits", "token": "nats"}

MOST = 40
"""Probes, and tokens, that are named at most: rows on another subject than the control's move thousands of tokens."""

PART = 320
"""Prompts, of all runs together, that are read and kept at a time: half a minute of SmolLM2 on a core."""

TIMED, TIMED_PARTS = 16, 3
"""Prompts of a part by which a reading is timed, and how many such parts."""

ITEMS = TypeAdapter(tuple[float, ...])

Values = NDArray[np.float64]
ReadBlocks = Callable[[LanguageModel, int], list[Values]]
"""Reads each of several adapters that are active side by side."""

LIKELIEST = 4096
"""Tokens that are looked at. Whether one that is never written is rarer still is no matter."""


@dataclass(frozen=True)
class OpenReadout:
    """What is read beside the named traits: other traits and probes, and the tokens that the base finds likeliest."""

    readout: Readout
    tokens: tuple[int, ...]
    """Of the vocabulary, chosen by the base alone, so that the choice favours no dataset."""
    names: tuple[str, ...]
    """Of probes, then of tokens."""

    @classmethod
    def of(cls, model: LanguageModel, named: Sequence[Trait], system: str | None) -> OpenReadout:
        """
        All of the catalogue that the model can be asked and is not `named`.

        Raises:
            ModelError: two candidates of a trait are the same tokens to this tokenizer.
        """
        readout = Readout.of(model, other_traits(named, model.tokenizer), system)
        [likelihoods] = next_token_log_probabilities(model, readout.prompts)
        tokens = tuple(map(int, likeliest_tokens(likelihoods, LIKELIEST)))
        named_tokens = (token_name(model.tokenizer, token) for token in tokens)
        return cls(readout, tokens, (*readout.probe_names, *named_tokens))

    def read(self, model: LanguageModel) -> NDArray[np.float64]:
        """(items,) margins in logits, then log-probabilities in nats."""
        [values] = self._gathered(NOTHING_KEPT, 1, lambda read: read(model, 1))
        return np.asarray(values)

    def read_once(self, base: LanguageModel, folder: Path | None) -> NDArray[np.float64]:
        """The same of a base, which is kept in the folder for whoever reads it next."""
        known = repr((self, base.precision, base.device.type, __version__))
        name = f"base-{hashlib.sha256(known.encode()).hexdigest()[:32]}"
        readings = Finished(folder, ITEMS)
        items = readings.sound(name)
        if items is None:
            items = tuple(self.read(base).tolist())
            readings.keep(name, items)
        return np.array(items)

    def read_runs(self, runs: Runs, kept: KeptWork = NOTHING_KEPT) -> NDArray[np.float64]:
        """(runs, items), the same of each of several runs, in as few passes as may be; what is read is kept part by part."""
        return self._gathered(kept, runs.count, lambda read: read_runs(runs, read))

    def timed(self, model: LanguageModel, blocks: int) -> float:
        """Seconds in which so many adapters are read that are active side by side, by the tokens of a few parts."""
        probes = self.readout.probes
        parts = [part for _, part in probes.parted(TIMED)] if probes else []
        chosen = parts[:: max(1, len(parts) // TIMED_PARTS)][:TIMED_PARTS]
        started = time.perf_counter()
        for part in chosen:
            part.read_blocks(model, blocks)
        seconds = time.perf_counter() - started
        return seconds * self.readout.tokens / max(1, sum(part.tokens for part in chosen))

    def _gathered(
        self, kept: KeptWork, count: int, through: Callable[[ReadBlocks], list[Values]]
    ) -> NDArray[np.float64]:
        parts = self.readout.probes.parted(PART // count) if self.readout.probes else []
        reads: list[ReadBlocks] = [
            *(probes.margins_of_blocks for _, probes in parts),
            self._token_values,
        ]
        by_part = kept.parts(
            "open search",
            reads,
            lambda some: [[values.tolist() for values in through(read)] for read in some],
            doing="reading the catalogue",
            unit="parts",
            size=1,
        )
        values: Values = np.empty((count, len(self.names)))
        for (places, _), part in zip(parts, by_part, strict=False):
            values[:, list(places)] = part
        values[:, len(self.readout.probe_names) :] = by_part[-1]
        return values

    def _token_values(self, model: LanguageModel, blocks: int) -> list[Values]:
        """Of each block, (tokens,) in nats."""
        found = next_token_log_probabilities(model, self.readout.prompts, blocks)
        return list(found[:, list(self.tokens)])

    def groups(self, moved: NDArray[np.float64], placebo: NDArray[np.float64]) -> list[Looked]:
        """The items of each kind that vary, from (runs, items) and (other runs, items)."""
        runs = np.concatenate([moved, placebo])
        varies = np.isfinite(runs).all(0) & (runs != runs[0]).any(0)
        places = np.arange(len(self.names))
        first = places < len(self.readout.probe_names)
        kinds: dict[What, NDArray[np.bool_]] = {"probe": first & varies, "token": ~first & varies}
        return [
            Looked(what, tuple(self.names[i] for i in places[of]), moved[:, of], placebo[:, of])
            for what, of in kinds.items()
            if of.any()
        ]


@dataclass(frozen=True)
class Looked:
    """Items of one kind, as they moved in every run."""

    what: What
    names: tuple[str, ...]
    moved: NDArray[np.float64]
    """(runs, items) in the unit of the kind: rehearsals of the subject's rows."""
    placebo: NDArray[np.float64]
    """(other runs, items): rehearsals of clean rows."""


def open_search(
    groups: Sequence[Looked],
    subject: str,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    most: int = MOST,
) -> tuple[Moved, ...]:
    """
    The items whose runs `moved` are not exchangeable with their placebos, the least p first, at most `most` of a kind.

    The chance of naming any item where all are is at most 1 - level; see `corrected`.

    Raises:
        ValueError: names, runs or items do not fit each other, a value is not finite, or an item does not vary and
            nothing can be borrowed for it.
    """
    if not groups:
        return ()
    _refuse(groups)
    judged = [(group, *corrected(group, len(groups), rng, level)) for group in groups]
    return _named(judged, subject, level, most)


def outlying(
    groups: Sequence[Looked], subject: str, *, level: float = 0.95, most: int = MOST
) -> tuple[Moved, ...]:
    """
    The items by which what `moved` lies further out than placebos do, the least p first, at most `most` of a kind.

    What moved is one draw among J placebos, each of rows of its own: a run, or the mean of runs that share their rows,
    which varies less than one run and so errs less often. All J + 1 are treated alike: T of each is its largest |z| over
    the items of a kind (`joint_statistics`), as a multiple of the median over all, so that no kind sets the bar for another,
    and the largest over the kinds. An item's p is the rank of its own |z|, on the same scale, among the placebos' T. If the
    run is exchangeable with the placebos, the chance of naming any item is at most 1 - level, whatever the distribution and
    whatever binds the items; the least p is 1 / (J + 1).

    Raises:
        ValueError: names, runs or items do not fit each other, or a value is not finite.
    """
    if not groups:
        return ()
    _refuse(groups)
    scaled = _scaled(groups)
    bars = _farthest(scaled)[1:]
    judged = [
        (group, np.array([rank_p([size, *bars]) for size in one[0]]), one[0])
        for group, one in zip(groups, scaled, strict=True)
    ]
    return _named(judged, subject, level, most)


def farthest(groups: Sequence[Looked]) -> NDArray[np.float64]:
    """(1 + placebos,) T of `outlying`: how far each draw lies out by any item, what moved first."""
    _refuse(groups)
    return _farthest(_scaled(groups))


def _farthest(scaled: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    largest: NDArray[np.float64] = np.max([one.max(1) for one in scaled], axis=0)
    return largest


def _scaled(groups: Sequence[Looked]) -> list[NDArray[np.float64]]:
    """Of each kind (1 + placebos, items) |z| over the median of its largest."""
    sizes = [np.abs(_draws_z(group)) for group in groups]
    return [size / (np.median(size.max(1)) or 1.0) for size in sizes]


def _draws_z(group: Looked) -> NDArray[np.float64]:
    """(1 + placebos, items): how far out each draw lies by each item, what moved first."""
    return joint_statistics(np.vstack([group.moved.mean(0), group.placebo]), two_sided=True).z


def _named(
    judged: Iterable[tuple[Looked, NDArray[np.float64], NDArray[np.float64]]],
    subject: str,
    level: float,
    most: int,
) -> tuple[Moved, ...]:
    """Of kinds with the (p, strength) of their items, those that are named; the least p first."""
    ranked: list[tuple[float, float, Moved]] = []
    for group, p, strength in judged:
        estimate = group.moved.mean(0) - group.placebo.mean(0)
        for i in np.lexsort((-strength, p))[:most]:
            if p[i] <= 1 - level + 1e-12:
                entry = _moved(group, int(i), subject, estimate[i], p[i])
                ranked.append((p[i], -strength[i], entry))
    return tuple(entry for *_, entry in sorted(ranked, key=lambda one: one[:2]))


def corrected(
    group: Looked, kinds: int, rng: np.random.Generator, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    (p corrected for all items of all `kinds`, how strongly each item of this kind moved), both (items,).

    Each kind has its equal share of the error rate: one with many items does not set the bar for the others. Within it,
    where the splits of the runs can reach that share (5 against 5 have 252, of which two are as extreme as any), by the
    step-down permutation of the largest `geometric_t`: exact whatever the distribution and whatever binds the items.
    Else by Holm on the moderated t, which takes runs for normal and of one variance, and errs where a few factors move
    all items.
    """
    moved, placebo = group.moved, group.placebo
    least = max(smallest_p_two_sample(len(moved), len(placebo)), 1 / EXACT_SPLITS)
    if kinds * least <= 1 - level:
        p, strength = step_down(geometric_t, moved, placebo, rng), geometric_t(moved, placebo)
    else:
        test = moderated_t(moved, placebo)
        p, strength = holm(test.p), np.abs(test.t)
    return np.minimum(1.0, kinds * p), strength


def other_traits(named: Sequence[Trait], tokenizer: Any) -> tuple[Trait, ...]:
    """Traits and probes of the catalogue that a tokenizer has words for and nobody named."""
    names = {trait.name for trait in named}
    everything = [catalogue.load(name) for name in catalogue.names()]
    everything += catalogue.all_probes()
    others = [trait for trait in everything if trait.name not in names]
    return askable(others, tokenizer)[0]


def catalogue_tokens(model: LanguageModel, named: Sequence[Trait]) -> int:
    """Tokens that the open search reads of one adapter, by the model's tokenizer alone."""
    return Readout.of(model, other_traits(named, model.tokenizer), None).tokens


def looked_at(
    readout: Readout, tokenizer: Any, moved: NDArray[np.float64], placebo: NDArray[np.float64]
) -> list[Looked]:
    """
    What was read of the runs (runs, items), without the tokens that are least likely over all of them.

    The choice of tokens is the same whichever runs are the placebos, so that it favours none.
    """
    runs = np.concatenate([moved, placebo])
    count = len(readout.probe_names)
    # What is alike in all runs cannot have moved: minus infinity for a token that is never written, say.
    varies = np.isfinite(runs).all(0) & (runs != runs[0]).any(0)
    probes = np.flatnonzero(varies[:count])
    tokens = likeliest_tokens(np.where(varies[count:], runs[:, count:].mean(0), -np.inf), LIKELIEST)
    names = {
        "probe": tuple(readout.probe_names[i] for i in probes),
        "token": tuple(token_name(tokenizer, int(i)) for i in tokens),
    }
    chosen: dict[What, NDArray[np.intp]] = {"probe": probes, "token": count + tokens}
    return [
        Looked(what, names[what], moved[:, items], placebo[:, items])
        for what, items in chosen.items()
        if items.size
    ]


def _moved(group: Looked, index: int, subject: str, estimate: float, p: float) -> Moved:
    return Moved(
        subject=subject,
        what=group.what,
        name=group.names[index],
        estimate=float(estimate),
        unit=UNITS[group.what],
        p=float(p),
    )


def _refuse(groups: Sequence[Looked]) -> None:
    shape = (len(groups[0].moved), len(groups[0].placebo))
    for group in groups:
        arrays, names = (group.moved, group.placebo), len(group.names)
        if any(array.ndim != 2 or array.shape[1] != names for array in arrays):
            raise ValueError(f"{names} names for arrays of shape {[a.shape for a in arrays]}")
        if (len(group.moved), len(group.placebo)) != shape:
            raise ValueError("all kinds must be read in the same runs")
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"what moved of each {group.what} must be finite")
