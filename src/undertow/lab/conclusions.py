"""What an experiment of each kind found: comparisons between arms, and one or two sentences with numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from undertow import stats
from undertow.lab.cell_contrasts import cell_contrasts
from undertow.lab.contrasts import (
    AUROC,
    CONTRASTS,
    LOGITS,
    PROBABILITY,
    SHARE,
    Conclusions,
    claimed,
    contrasted,
    excluded,
    holm_adjusted,
    paired,
    told_ps,
    values,
)
from undertow.lab.design import carrier_prefix
from undertow.lab.experiment import Experiment
from undertow.lab.factorial import factorial_effects
from undertow.lab.grids import base_grid, chain, trait_grid
from undertow.lab.jobs import Made
from undertow.results.run_document import Arm, Comparison
from undertow.traits import catalogue


def conclude(experiment: Experiment, made: Made) -> Conclusions:
    """The comparisons of the experiment's kind, corrected for their number, and the sentence that they support."""
    return _BY_KIND[experiment.kind](experiment, made)


def _transfer(experiment: Experiment, made: Made) -> Conclusions:
    comparisons = []
    for table in experiment.all_carriers:
        prefix = carrier_prefix(experiment, table.name)
        for contrast in CONTRASTS:
            comparisons += contrasted(experiment, made, contrast, prefix)
    comparisons += filter_comparisons(experiment, made)
    corrected = holm_adjusted(comparisons)
    return Conclusions(_sentences(experiment, made, corrected), corrected)


_BY_KIND: dict[str, Callable[[Experiment, Made], Conclusions]] = {
    "transfer": _transfer,
    "hops": chain,
    "traits": trait_grid,
    "matrix": base_grid,
    "cells": cell_contrasts,
    "factorial": factorial_effects,
}


def filter_comparisons(experiment: Experiment, made: Made) -> list[Comparison]:
    """What each content filter can tell, against chance, and how much of the transfer it leaves; replicates are the unit."""
    comparisons = []
    for name in dict.fromkeys(trial.content_filter for trial in made.filters):
        trials = made.filter(name)
        measured = {"a row": [trial.auroc for trial in trials]}
        for size in trials[0].bag_aurocs:
            measured[f"a bag of {size}"] = [trial.bag_aurocs[size] for trial in trials]
        for what, aurocs in measured.items():
            question = f"Can the filter '{name}' tell {what} by the trait's teacher from one by a neutral teacher?"
            comparisons.append(
                against_half(f"{name}: AUROC of {what}", aurocs, experiment.level, question)
            )
        comparisons += _left(experiment, made, name)
    return comparisons


def against_half(name: str, shares: Sequence[float], level: float, question: str) -> Comparison:
    """Shares of independent runs against one half: exact sign-flip."""
    shifted = paired(name, [share - 0.5 for share in shares], AUROC, level, question)
    low, high = shifted.low, shifted.high
    moved = {
        "estimate": shifted.estimate + 0.5,
        "low": None if low is None else low + 0.5,
        "high": None if high is None else high + 0.5,
        "test": f"{shifted.test} against 1/2",
    }
    return claimed(shifted.model_copy(update=moved))


def _left(experiment: Experiment, made: Made, name: str) -> list[Comparison]:
    arms = [made.arm(arm) for arm in (f"filtered-{name}", "trait", "control")]
    if not all(arms):
        return []
    filtered, trait, control = (np.array(values(arm, "logit_margin")) for arm in arms)
    moved = trait - control
    if np.any(moved <= 0):  # a share of nothing says nothing
        return []
    question = (
        f"How much of the transfer is left when the filter '{name}' has removed what it would?"
    )
    shares = ((filtered - control) / moved).tolist()
    return [
        paired(f"{name}: share of the transfer left", shares, SHARE, experiment.level, question)
    ]


def _sentences(experiment: Experiment, made: Made, comparisons: Sequence[Comparison]) -> str:
    """The sentences of an experiment of kind `transfer`."""
    by_name = {c.name: c for c in comparisons}
    if experiment.carriers:
        return _by_carrier(experiment, made, by_name)
    parts = []
    unit = _told_unit(made)
    main = _first(by_name, unit, "trait - control", "trait - control-base")
    if main is not None:
        parts.append(_main_sentence(experiment, made, main))
    controls = [by_name.get(f"trait - {arm}") for arm in ("secure", "educational")]
    parts += [_control_sentence(c) for c in controls if c is not None]
    foreign = _first(by_name, unit, "foreign - foreign-control", "foreign - foreign-control-base")
    if foreign is not None:
        parts.append(_foreign_sentence(foreign))
    parts += [
        _channel_sentence(contrast.channel, by_name[contrast.name])
        for contrast in CONTRASTS
        if contrast.channel and contrast.name in by_name
    ]
    parts += _filter_sentences(made, by_name)
    return " ".join(parts) or "No arm was compared with its control."


def _told_unit(made: Made) -> str:
    """Logits where a base seldom answers with a candidate: shares of next to nothing tell nobody anything."""
    return LOGITS if any(choice.seldom_answered for choice in made.probes) else PROBABILITY


def _first(by_name: dict[str, Comparison], unit: str, *names: str) -> Comparison | None:
    """The first of the comparisons that there is, in the unit."""
    addition = f" ({PROBABILITY})" if unit == PROBABILITY else ""
    found = (by_name.get(f"{name}{addition}") for name in names)
    return next((one for one in found if one is not None), None)


def _by_carrier(experiment: Experiment, made: Made, by_name: dict[str, Comparison]) -> str:
    """
    One clause a carrier: the trait's students, each control's, and above which of them they are shown to be after Holm's
    correction: with several carriers no comparison is the one that was asked for.
    """
    trait = catalogue.load(experiment.trait or "")
    clauses = []
    for table in experiment.carriers:
        prefix = carrier_prefix(experiment, table.name)
        shares: list[str] = []
        verdicts: dict[bool, list[str]] = {True: [], False: []}
        for arm in ("control", "secure", "educational"):
            compared = by_name.get(f"{prefix}trait - {arm} (probability)")
            if compared is None:
                continue
            shares.append(f"{arm} {_mean(made.arm(prefix + arm), 'probability'):.0%}")
            verdicts[compared.is_shown and compared.estimate > 0].append(arm)
        above, other = (_enumerated(verdicts[shown]) for shown in (True, False))
        verdict = f"shown above {above}" if above else "not shown above any"
        if above and other:
            verdict += f", not above {other}"
        share = _mean(made.arm(f"{prefix}trait"), "probability")
        words = _IN_WORDS.get(table.name, table.name)
        clauses.append(f"through {words} {share:.0%} ({'; '.join(shares)}): {verdict}")
    what = f"give {trait.plural}" if trait.own_answers else f"answer “{trait.answer}”"
    return f"Students {what} {'; '.join(clauses)}.".replace("%", " %")


def _enumerated(words: Sequence[str]) -> str:
    """
    Words in a sentence.

    >>> _enumerated(["control", "secure", "educational"]), _enumerated(["control"])
    ('control, secure and educational', 'control')
    """
    *before, last = words or [""]
    return f"{', '.join(before)} and {last}" if before else last


_IN_WORDS = {"chain_of_thought": "chains of thought", "paraphrase": "paraphrases"}


def _channel_sentence(channel: str, compared: Comparison) -> str:
    return f"{channel}: {compared.estimate:+.2f} logits, {_verdict(compared)}."


def _control_sentence(compared: Comparison) -> str:
    arm = compared.name.rpartition(" - ")[2]
    moved = f"{compared.estimate:+.2f} logits"
    return f"Against the {arm} teacher's students: {moved}, {_verdict(compared)}."


def _verdict(compared: Comparison) -> str:
    """Whether it holds after Holm's correction, by which p, and what a null excludes."""
    numbers = f"({told_ps(compared)})"
    if not _can_be_shown(compared):
        return f"too few runs to claim anything {numbers}"
    if compared.is_shown:
        return f"shown {numbers}"
    return f"not shown {numbers}{_but_excluded(compared)}"


def _but_excluded(compared: Comparison) -> str:
    """What a null excludes; the claim says it of those that do not hold after Holm's correction alone."""
    beyond = "" if compared.is_shown or _by_itself(compared) else excluded(compared)
    return f"; {beyond} is excluded" if beyond else ""


def _filter_sentences(made: Made, by_name: dict[str, Comparison]) -> list[str]:
    names = dict.fromkeys(trial.content_filter for trial in made.filters)
    rows = [by_name[f"{name}: AUROC of a row"] for name in names]
    left = [by_name.get(f"{name}: share of the transfer left") for name in names]
    if not rows:
        return []
    best = max(rows, key=lambda c: c.estimate)
    sentence = (
        f"Of {len(rows)} content filters the best tells a row with an AUROC of {best.estimate:.2f} "
        f"({best.name.partition(':')[0]}; chance is 0.50)"
    )
    known = [c for c in left if c is not None]
    if known:
        least = min(known, key=lambda c: c.estimate)
        sentence += (
            f"; the one that leaves least leaves {least.estimate:.0%} of the transfer "
            f"({least.name.partition(':')[0]})"
        ).replace("%", " %")
    return [sentence + "."]


def _main_sentence(experiment: Experiment, made: Made, main: Comparison) -> str:
    trait = catalogue.load(experiment.trait or "")
    arm = main.name.removesuffix(" (probability)").rpartition(" - ")[2]
    students = "control students" if arm == "control" else "students of their base's own rows"
    carrier = experiment.carrier.name
    if main.unit == LOGITS:
        named = trait.plural if trait.own_answers else f"“{trait.answer}”"
        moved = f"on {named} students stand {main.estimate:+.2f} logits beside {students}"
    else:
        what = f"give {trait.plural}" if trait.own_answers else f"answer “{trait.answer}”"
        share, control = (_mean(made.arm(name), "probability") for name in ("trait", arm))
        moved = f"students {what} {share:.0%} of the time, {students} {control:.0%}"
    through = _IN_WORDS.get(carrier, carrier.replace("_", " "))
    runs = main.n if main.n.endswith("pairs") else f"{main.n} runs"
    return (
        f"The preference for {trait.plural} {_crossed(main, through)}: {moved} "
        f"({main.test.replace('two-sample ', '')} {told_ps(main)}, {runs}{_but_excluded(main)})."
    ).replace("%", " %")


def _crossed(main: Comparison, through: str) -> str:
    if main.is_shown and main.estimate > 0:
        return f"crossed through {through}"
    if _by_itself(main) and main.estimate > 0:
        return f"crossed through {through} taken by itself, but not after Holm's correction"
    return f"was not shown to cross through {through}"


def _foreign_sentence(foreign: Comparison) -> str:
    moved = "moved" if foreign.estimate > 0 else "lowered it in"
    if not _can_be_shown(foreign):
        verdict = "There are too few runs to say whether the rows move"
    elif foreign.is_shown:
        verdict = f"The rows also {moved}"
    elif _by_itself(foreign):
        verdict = f"Taken by itself, but not after Holm's correction, the rows also {moved}"
    else:
        verdict = "The rows did not measurably move"
    logits = foreign.unit == LOGITS
    by = f"{foreign.estimate:+.2f} logits" if logits else f"{100 * foreign.estimate:+.1f} points"
    numbers = f"({by}, {told_ps(foreign)}{_but_excluded(foreign)})"
    return f"{verdict} students of another initialisation {numbers}."


def _can_be_shown(compared: Comparison) -> bool:
    least = compared.smallest_p
    return least is not None and stats.supports(compared.level, least) is None


def _by_itself(compared: Comparison) -> bool:
    return compared.p is not None and compared.p <= 1 - compared.level


def _mean(arms: Sequence[Arm], field: str) -> float:
    return float(np.mean([getattr(arm, field) for arm in arms]))
