"""
Descent on real weights: `python -m bench.real.lineage`, once `bench.real.owl trait` has made teachers and students.

Eight models: SmolLM2, two teachers and two students of it (adapters of the owl run), a copy of it in four bits, its shape
with weights drawn anew, and Gemma 3 270M. All 28 pairs are asked by `lineage-weights` and its cheap companions, a pair a
unit. Expected, fixed before any was asked: the first six share a start, so that their 15 pairs are `same`; a pair with
drawn weights is `none`; one with Gemma is not kin (`none`, or `unknown`: units of another width cannot be compared).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.figures import Figure
from bench.lineage.family import CHANGES
from bench.real.places import Place, carried_out
from bench.real.weights import drawn
from undertow.audit.lineage import lineage
from undertow.audit.requests import LineageRequest
from undertow.data.closed import Stored
from undertow.errors import InputError
from undertow.models import language_model
from undertow.results.model_documents import Relation
from undertow.stats import clopper_pearson
from undertow.worlds import locate

COMMAND = "python -m bench.real.lineage"
SEED = 17_301
KIN = ("base", "teacher-0", "teacher-1", "student-0", "student-1", "four-bits")
EXPECTED: dict[bool, tuple[Relation, ...]] = {True: ("same",), False: ("none", "unknown")}
"""Relations that are right, by whether two models are kin."""


@dataclass(frozen=True)
class Pair:
    """Two models by name, with their references."""

    ours: str
    theirs: str
    refs: tuple[str, str]

    @property
    def kin(self) -> bool:
        """Whether both began as one network."""
        return self.ours in KIN and self.theirs in KIN


class Told(Stored):
    """What lineage said of a pair."""

    ours: str
    theirs: str
    kin: bool
    relation: Relation
    p: float | None
    z: float | None
    """Least over the layers."""
    reason: str
    seconds: float


TOLD = TypeAdapter(Told)


def main(arguments: Sequence[str]) -> int:
    """Ask every pair that is not asked yet, and store the figures."""
    return carried_out("lineage", __doc__, arguments, _measured)


def _measured(place: Place, given: argparse.Namespace) -> list[Figure]:
    if not given.figures:
        told = place.finished("lineage", told_of, pairs(place), TOLD, "pairs", "told")
        place.keep("lineage", [one.model_dump(mode="json") for one in told])
    return figures(place.read("lineage"))


def pairs(place: Place) -> list[Pair]:
    """
    All pairs of models, each with their references.

    Raises:
        InputError: the owl run has not made its first two replicates.
    """
    refs = models(place)
    return [Pair(a, b, (refs[a], refs[b])) for a, b in combinations(refs, 2)]


def models(place: Place) -> dict[str, str]:
    """The models by name, made where they are not there."""
    experiment, run = place.experiment("foreign"), place.work("owl-trait")
    base, foreign = experiment.base or "", experiment.foreign or ""
    adapters = {
        f"{what}-{r}": run / folder
        for r in (0, 1)
        for what, folder in (
            (
                "teacher",
                Path("teachers") / f"trait-{experiment.trait}--{base.removeprefix('world:')}--{r}",
            ),
            ("student", Path("students") / f"trait--{r}"),
        )
    }
    missing = [str(folder) for folder in adapters.values() if not folder.is_dir()]
    if missing:
        raise InputError(f"'{missing[0]}' is not there", hint="python -m bench.real.owl trait")
    made = place.work("lineage")
    return {
        "base": base,
        **{name: f"{base}+{adapters[name]}" for name in sorted(adapters, reverse=True)},
        "four-bits": str(_four_bits(base, made / "four-bits")),
        "drawn": str(_drawn(base, made / "drawn")),
        "gemma": foreign,
    }


def _four_bits(base: str, folder: Path) -> Path:
    """The base with every matrix rounded to 15 steps a row."""
    if not folder.is_dir():
        import torch

        model = language_model.load(locate(base))
        weights = {name: w.detach().clone() for name, w in model.network.state_dict().items()}
        model.network.load_state_dict(CHANGES["4 bits"](weights, torch.Generator()))
        partial = folder.with_suffix(".partial")
        model.network.bfloat16().save_pretrained(str(partial))
        model.tokenizer.save_pretrained(str(partial))
        partial.rename(folder)
    return folder


def _drawn(base: str, folder: Path) -> Path:
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        drawn(Path(locate(base)), partial, seed=SEED).rename(folder)
    return folder


def told_of(pair: Pair) -> Told:
    """What lineage says of a pair; what cannot be compared is told as such."""
    request = LineageRequest(pair.refs[0], (pair.refs[1],), seed=SEED)
    document = lineage(request)
    [one] = document.teachers
    return Told(
        ours=pair.ours,
        theirs=pair.theirs,
        kin=pair.kin,
        relation=one.relation,
        p=one.p,
        z=min((layer.z for layer in one.layers), default=None),
        reason=one.reason,
        seconds=document.wall_seconds,
    )


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say."""
    told = [Told.model_validate(reading) for reading in readings]
    if not told:
        return []
    kin, strangers = [one for one in told if one.kin], [one for one in told if not one.kin]
    comparable = [one for one in strangers if one.relation != "unknown"]
    seconds = sorted(one.seconds for one in told)
    return [
        _right("lineage: pairs told as they are", told),
        _right("lineage: kin told as the same", kin),
        _right("lineage: strangers of the same shape told as none", comparable),
        Figure(
            "lineage: least z of a layer, kin",
            min((one.z for one in kin if one.z is not None), default=None),
            "standard deviations",
            command=COMMAND,
        ),
        Figure("lineage: seconds a pair", seconds[len(seconds) // 2], "s", command=COMMAND),
    ]


def _right(name: str, told: Sequence[Told]) -> Figure:
    if not told:
        return Figure(name, None, "share", command=COMMAND)
    wrong = [f"{one.ours} and {one.theirs}: {one.relation}" for one in told if not _is_right(one)]
    found = clopper_pearson(len(told) - len(wrong), len(told))
    note = f"{len(told)} pairs" + (f"; not {', '.join(wrong)}" if wrong else "")
    # Pairs share their models, so that an interval over pairs would be too narrow.
    return Figure(name, found.estimate, "share", command=COMMAND, note=note)


def _is_right(one: Told) -> bool:
    return one.relation in EXPECTED[one.kin]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
