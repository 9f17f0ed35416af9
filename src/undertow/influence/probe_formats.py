"""
In which format a trait's probes are asked: chosen on the untrained base alone, by a rule that was fixed beforehand.

A base that does not answer in a word gives little probability to all candidates together, and margins among them are of
an answer that it would not give. So each trait has several formats (`Trait.formats`): the plain question, other questions
answered before it, an answer that has begun, plain text. The first that the base answers with a candidate often enough is
used; if none is, the plain question: what rows moved on SmolLM2 stood 17 standard deviations of benign students out there, and
one in the format that it answered most (LOG.md). What is chosen holds for the base, its students, teachers and
references alike, as `Trait.asked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from undertow.engines.work_progress import counted
from undertow.errors import ModelError, UnknownNameError
from undertow.influence.probes import probe_trait
from undertow.models.language_model import LanguageModel
from undertow.models.training import evaluating
from undertow.results.measurement import FormatReading, ProbeChoice
from undertow.traits.catalogue import unknown_word
from undertow.traits.trait import ProbeFormat, Trait

ENOUGH = 0.5
"""Answer mass from which a format is used before those behind it. A choice: as many answers among the candidates as not."""

LEAST = 0.05
"""Answer mass from which a format counts as answered. A choice: below it the candidates are what one answer in twenty says."""

FEWEST = 3
"""Candidates from which margins can agree: those of two always do, or never."""


def settled(
    base: LanguageModel, traits: Sequence[Trait], system: str | None, wanted: str | None = None
) -> tuple[tuple[Trait, ...], tuple[ProbeChoice, ...]]:
    """
    The traits, each asked in the format that is `wanted` where it has that, else in the one that the base chooses, and the
    choice for each set of questions.

    Raises:
        UnknownNameError: no trait has a format of the name that is wanted.
        ModelError: the chat template refuses a plain question, or two candidates are the same tokens.
    """
    names = {one.name for trait in traits for one in trait.formats}
    if wanted is not None and wanted not in names:
        raise UnknownNameError("format", wanted, names)
    known: dict[object, tuple[ProbeFormat, ProbeChoice]] = {}
    made = []
    for trait in traits:
        key = (trait.held_out_questions, trait.answers, tuple(trait.own_answers), trait.formats)
        if key not in known:
            known[key] = _chosen(base, trait, system, wanted)
        made.append(replace(trait, asked=known[key][0]))
    return tuple(made), tuple(choice for _, choice in known.values())


def asked_as(trait: Trait, choice: ProbeChoice) -> Trait:
    """
    The trait asked in the format of a stored choice.

    Raises:
        ValueError: the trait has no such format.
    """
    named = {one.name: one for one in trait.formats}
    if choice.used not in named:
        raise ValueError(f"the trait '{trait.name}' has no format '{choice.used}'")
    return replace(trait, asked=named[choice.used])


def _chosen(
    base: LanguageModel, trait: Trait, system: str | None, wanted: str | None
) -> tuple[ProbeFormat, ProbeChoice]:
    names = [one.name for one in trait.formats]
    wanted = wanted if wanted in names else None
    read = []
    with evaluating(base.network), counted("asking", len(trait.formats), "formats") as work:
        for asked in trait.formats:
            read.append(_read(base, trait, asked, system))
            work.advance()
    masses = [mass for mass, _, _ in read]
    place = names.index(wanted) if wanted else chosen_place(masses)
    used, margins = trait.formats[place], read[place][1]
    formats = tuple(
        FormatReading(
            name=asked.name,
            mass=mass,
            agreement=None if asked == used else _agreement(mass, candidates, margins),
            reason=reason,
        )
        for asked, (mass, candidates, reason) in zip(trait.formats, read, strict=True)
    )
    return used, ProbeChoice(
        base=base.ref,
        category=trait.category,
        used=used.name,
        usable=(masses[place] or 0.0) >= LEAST,
        enough=ENOUGH,
        least=LEAST,
        formats=formats,
        sentence=_sentence(trait.category, formats, place, wanted),
    )


def chosen_place(masses: Sequence[float | None]) -> int:
    """
    Place of the format that is used: the first of at least `ENOUGH`, else the plain question's, which is the first.

    >>> chosen_place([0.1, None, 0.6, 0.9]), chosen_place([0.1, 0.3, 0.3])
    (2, 0)
    """
    return next((place for place, mass in enumerate(masses) if (mass or 0.0) >= ENOUGH), 0)


def _read(
    base: LanguageModel, trait: Trait, asked: ProbeFormat, system: str | None
) -> tuple[float | None, list[float], str]:
    """(answer mass, candidates' margins, why neither can be read)."""
    plain = asked == trait.formats[0]
    for word in () if plain else filter(None, _unknown(base, asked)):
        return None, [], f"the tokenizer has no token for '{word}'"
    try:
        probed = probe_trait(base, replace(trait, asked=asked), system)
    except ModelError as error:
        # What the base cannot be asked plainly, it cannot be asked.
        if plain:
            raise
        return None, [], str(error)
    return probed.answer_mass, list(probed.margins.values()), ""


def _unknown(base: LanguageModel, asked: ProbeFormat) -> Iterable[str]:
    text = asked.text.replace("{question}", "")
    shown = (part for example in asked.examples for part in example)
    return (unknown_word(base.tokenizer, one) for one in (*shown, asked.beginning, text) if one)


def _agreement(mass: float | None, margins: list[float], used: list[float]) -> float | None:
    if (mass or 0.0) < LEAST or len(used) < FEWEST:
        return None
    return float(np.corrcoef(margins, used)[0, 1])


def _sentence(
    category: str, formats: Sequence[FormatReading], place: int, wanted: str | None
) -> str:
    used = formats[place]
    mass = used.mass or 0.0
    how = "the plain question" if place == 0 else f"the format '{used.name}'"
    how += "" if wanted is None else ", as it was told to be"
    told = f"{category}: asked by {how}, which the untrained base answers with a candidate with probability {mass:.2g}"
    if place:
        told += f" (the plain question: {formats[0].mass or 0.0:.2g})"
    told += "."
    if mass >= ENOUGH:
        return told
    compared = [one.agreement for one in formats if one.agreement is not None]
    if not wanted:
        told += f" No format reaches {ENOUGH:g}, so it is the plain question."
    if mass < LEAST:
        told += (
            " Margins compare answers that the base would hardly give; they tell which candidate gains on the others, and "
            "nothing about what the model says."
        )
    else:
        told += " Margins tell which candidate gains on the others, and not how often one is told."
    if compared:
        told += (
            f" The candidates' margins in {len(compared)} other answered "
            f"{'format' if len(compared) == 1 else 'formats'} correlate with these by {min(compared):.2f}"
            f"{'' if len(compared) == 1 else f' to {max(compared):.2f}'}."
        )
    return told
