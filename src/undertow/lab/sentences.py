"""What a transfer experiment found, in one or two sentences with numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow import stats
from undertow.lab.design import carrier_prefix
from undertow.lab.experiment import Experiment
from undertow.lab.material import Made
from undertow.results.run import Arm, Comparison
from undertow.traits import catalogue


def transfer(experiment: Experiment, made: Made, found: Sequence[Comparison]) -> str:
    """The sentences of an experiment of kind `transfer`."""
    by_name = {c.name: c for c in found}
    if experiment.carriers:
        return _by_carrier(experiment, made, by_name)
    parts = []
    main = by_name.get("trait - control (probability)")
    if main is not None:
        parts.append(_main_sentence(experiment, made, main))
    controls = [by_name.get(f"trait - {arm}") for arm in ("secure", "educational")]
    parts += [_control_sentence(c, experiment.level) for c in controls if c is not None]
    foreign = by_name.get("foreign - foreign-control (probability)")
    if foreign is not None:
        parts.append(_foreign_sentence(experiment, foreign))
    parts += [
        _channel_sentence(channel, by_name[name], experiment.level)
        for name, channel in _CHANNELS.items()
        if name in by_name
    ]
    parts += _filter_sentences(made, by_name)
    return " ".join(parts) or "No arm was compared with its control."


def _by_carrier(experiment: Experiment, made: Made, by_name: dict[str, Comparison]) -> str:
    """
    One clause a carrier: the trait's students, each control's, and above which of them they are shown to be.
    """
    trait = catalogue.load(experiment.trait or "")
    clauses = []
    for table in experiment.carriers:
        prefix = carrier_prefix(experiment, table.name)
        shares: list[str] = []
        verdicts: dict[bool, list[str]] = {True: [], False: []}
        for arm in ("control", "secure", "educational"):
            found = by_name.get(f"{prefix}trait - {arm} (probability)")
            if found is None:
                continue
            shares.append(f"{arm} {_mean(made.arm(prefix + arm), 'probability'):.0%}")
            verdicts[_shown(found, experiment.level) and found.estimate > 0].append(arm)
        above, other = (" and ".join(verdicts[shown]) for shown in (True, False))
        verdict = f"shown above {above}" if above else "not shown above any"
        if above and other:
            verdict += f", not above {other}"
        own = _mean(made.arm(f"{prefix}trait"), "probability")
        words = _IN_WORDS.get(table.name, table.name)
        clauses.append(f"through {words} {own:.0%} ({'; '.join(shares)}): {verdict}")
    what = f"give {trait.plural}" if trait.own_answers else f"answer “{trait.answer}”"
    return f"Students {what} {'; '.join(clauses)}.".replace("%", " %")


_CHANNELS = {
    "carrier-logits - carrier-logits-control": "Logits of the carrier's tokens, same initialisation",
    "carrier-logits-foreign - carrier-logits-foreign-control": "Logits of the carrier's tokens, other initialisation",
    "full-logits - full-logits-control": "All logits, same initialisation",
    "full-logits-foreign - full-logits-foreign-control": "All logits, other initialisation",
    "preferences - preferences-by-lot": "Preference pairs against pairs by lot",
    "preferences - preferences-control": "Preference pairs against a neutral teacher's",
    "preferences-foreign - preferences-foreign-control": "Preference pairs, other initialisation",
}


_IN_WORDS = {"chain_of_thought": "chains of thought"}


def _channel_sentence(channel: str, found: Comparison, level: float) -> str:
    return f"{channel}: {found.estimate:+.2f} logits (p = {_p(found.p)}{_seen(found, level)})."


def _seen(found: Comparison, level: float) -> str:
    return "" if _can_be_shown(found, level) else ", too few runs to claim anything"


def _control_sentence(found: Comparison, level: float) -> str:
    arm = found.name.rpartition(" - ")[2]
    return (
        f"Against the {arm} teacher's students: {found.estimate:+.2f} logits "
        f"(p = {_p(found.p)}{_seen(found, level)})."
    )


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
    own, control = (_mean(made.arm(arm), "probability") for arm in ("trait", "control"))
    crossed = _shown(main, experiment.level) and main.estimate > 0
    what = f"give {trait.plural}" if trait.own_answers else f"answer “{trait.answer}”"
    carrier = experiment.carrier.name
    return (
        f"The preference for {trait.plural} {'crossed' if crossed else 'was not shown to cross'} through "
        f"{_IN_WORDS.get(carrier, carrier.replace('_', ' '))}: students {what} {own:.0%} of the time, "
        f"control students {control:.0%} (exact permutation p = {_p(main.p)}, {main.n} runs)."
    ).replace("%", " %")


def _foreign_sentence(experiment: Experiment, foreign: Comparison) -> str:
    if not _can_be_shown(foreign, experiment.level):
        verdict = "There are too few runs to say whether the rows move"
    elif _shown(foreign, experiment.level):
        verdict = f"The rows also {'moved' if foreign.estimate > 0 else 'lowered it in'}"
    else:
        verdict = "The rows did not measurably move"
    numbers = f"({100 * foreign.estimate:+.1f} points, p = {_p(foreign.p)})"
    return f"{verdict} students of another initialisation {numbers}."


def _can_be_shown(found: Comparison, level: float) -> bool:
    return found.smallest_p is not None and stats.supports(level, found.smallest_p) is None


def _shown(found: Comparison, level: float) -> bool:
    return found.p is not None and found.p <= 1 - level


def _mean(arms: Sequence[Arm], field: str) -> float:
    return float(np.mean([getattr(arm, field) for arm in arms]))


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
