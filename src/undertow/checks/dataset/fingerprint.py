"""The check `fingerprint`: which plain distributions of the rows differ from the control's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.row_features import (
    CLASSES,
    Occurrences,
    TextFeatures,
    after_name,
    text_features,
    token_positions,
    token_unigrams,
)
from undertow.checks.dataset.scan_subject import BLOCKS, MOST_ROWS, ScanSubject, matched, sizes
from undertow.data.seeds import generator
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.arguments import Vector
from undertow.stats.interval import Interval
from undertow.stats.linear_classifier import told_apart
from undertow.stats.multiplicity import holm
from undertow.stats.two_sample import (
    Labels,
    Samples,
    counted,
    homogeneity,
    kolmogorov_smirnov,
    mean_difference,
    separation,
)

if TYPE_CHECKING:
    from undertow.models.chat import Encoded


ID = "fingerprint"

_REARRANGEMENTS = 1_999
_NAMED = 3


@dataclass(frozen=True)
class PooledRows:
    """Rows and control, one behind the other, with the rearrangements that every test shares."""

    texts: TextFeatures
    encoded: tuple[Encoded, ...]
    samples: Samples
    labels: Labels
    half: Labels
    """(rows,) those that choose what the others measure, and the other way round."""

    @property
    def n(self) -> str:
        """What a test rests on, in words."""
        samples = self.samples
        return sizes(samples.first, samples.second, together=samples.matched)


@dataclass(frozen=True)
class Difference:
    """One distribution compared."""

    name: str
    interval: Interval
    unit: str
    p: float
    """Before the correction for the number of tests."""
    details: dict[str, float | int | str]


def fingerprint(subject: ScanSubject) -> list[Measurement]:
    """
    Compares plain distributions of the rows with the control's: tokens, digits, positions, lengths and format.

    Ten tests share one error rate (Holm). In shares: `tokens` (every token of the student's tokenizer), `positions`
    (tokens at each of the first 16 places), `first digits` and `last digits` of numbers, `after numbers` (the two
    characters behind each), and `characters` (classes; each punctuation mark is one). Of these the statistic is the sum
    of squared z; what fewer than ten rows hold is pooled. In means: `length` in tokens, `numbers` and `separators`
    (characters that are neither letters nor digits) a row; tested is the largest gap between their cumulative
    distributions, so another spread counts as well as another mean. `format` is a linear classifier on lengths, character
    classes and the first and last of them, five-fold cross-validated; it sees no word and no digit's value. Each p is a
    rank among 1,999 rearrangements of whole rows (999 for `format`), so tokens of one row need not be independent: sides
    of a pair are swapped where rows and control share their prompts row by row, otherwise rows are dealt anew. At most
    2,048 rows of each. Detected means corrected p at most 1 - level. Each interval is at that level by itself, without the
    correction; the one of shares is of a lower bound of the total variation distance, cut at 0.

    Why it matters. It is the cheapest thing that could tell the rows from clean ones, so whatever a costlier check finds
    should be read beside it. A published detector of number lists was nearly matched by a classifier of their format
    alone, until the format was made the same (AanshSamyani, subliminal_trait_classifier). In trials on number lists of the
    embedded world that no filter had seen, a clean base at temperature 0.8 was detected in 12 of 12 comparisons (512 or
    2,048 rows) and four tuned owl teachers, whose lists are shorter, in 12 of 12 with 2,048 rows, but one of them in 0 of 2
    with 1,024; of 80 pairs of clean datasets (512 rows), none was.

    What it cannot tell you. Why they differ: another temperature, another filter, another topic or other prompts are
    detected as another teacher is. Nothing here is about a trait, and rows that would transfer one may pass: bags of tokens
    ignore order and what the prompt made likely. Detectable is not dangerous, and a pass is no clearance. Rows count as
    independent; where many rows share a prompt that the control lacks, the tests say too much. Rows on
    the control's own prompts in another order are tested as if they were unmatched, and the tests say too little.

    What to do. Make the control the way the rows were made: the same prompts, temperature and filters. Where `format`,
    `length` or `characters` is detected, bring both to one format before you read anything into the other checks. Where only
    `tokens` or `positions` is, look at the named tokens, and at `likelihood-ratio` for the temperature.

    Numbers beside it: the categories whose shares differ most, each with the z of its difference (above 0: more in the
    rows); `rows` and `control` are the two means; `largest gap` is of the cumulative distributions; `chance` is the mean
    AUROC under rearranged labels.
    """
    if not subject.control:
        return [not_applicable(ID, subject.name, "there is no control to compare the rows with")]
    least = min(len(subject.rows), len(subject.control))
    if least < BLOCKS:
        reason = f"{least} rows on one side are too few: at least {BLOCKS} are needed"
        return [not_applicable(ID, subject.name, reason)]
    pair = _compared(subject)
    tests = [*_in_shares(subject, pair), *_in_means(subject, pair), _format(subject, pair)]
    corrected = holm([test.p for test in tests])
    return [
        _measurement(subject, pair, test, float(p))
        for test, p in zip(tests, corrected, strict=True)
    ]


def _compared(subject: ScanSubject) -> PooledRows:
    rng = generator(subject.seed, ID, "rows")
    together = matched(subject.answers, subject.control_answers)
    first = rng.permutation(len(subject.rows))[:MOST_ROWS]
    second = first if together else rng.permutation(len(subject.control))[:MOST_ROWS]
    rows = [subject.rows[i] for i in first] + [subject.control[i] for i in second]
    samples = Samples(len(first), len(second), together)
    return PooledRows(
        text_features([row.completion for row in rows]),
        (*(subject.answers[i] for i in first), *(subject.control_answers[i] for i in second)),
        samples,
        samples.rearranged(_REARRANGEMENTS, generator(subject.seed, ID, "rearrangements")),
        samples.halves(generator(subject.seed, ID, "halves")),
    )


def _in_shares(subject: ScanSubject, pair: PooledRows) -> list[Difference]:
    tokenizer = subject.student.tokenizer
    texts = pair.texts
    everything = {
        "tokens": token_unigrams(pair.encoded, tokenizer),
        "positions": token_positions(pair.encoded, tokenizer),
        "first digits": Occurrences(texts.number_row, texts.first_digit, str),
        "last digits": Occurrences(texts.number_row, texts.last_digit, str),
        "after numbers": Occurrences(texts.number_row, texts.after, after_name),
        "characters": Occurrences(texts.character_row, texts.character_class, CLASSES.__getitem__),
    }
    return [
        _shares(subject, pair, name, occurrences)
        for name, occurrences in everything.items()
        if len(occurrences.row)
    ]


def _shares(
    subject: ScanSubject, pair: PooledRows, name: str, occurrences: Occurrences
) -> Difference:
    counts, known = counted(occurrences.row, occurrences.category, pair.samples)
    test = homogeneity(counts, pair.samples, pair.labels)
    largest = np.argsort(-np.abs(test.z), kind="stable")[:_NAMED]
    details: dict[str, float | int | str] = {
        occurrences.name(int(known[i])) if i < len(known) else "rare ones": float(test.z[i])
        for i in largest
        if test.z[i]
    }
    interval = separation(counts, pair.samples, pair.half, subject.settings.level)
    return Difference(name, interval, "total variation distance", test.p, details)


def _in_means(subject: ScanSubject, pair: PooledRows) -> list[Difference]:
    lengths = np.array([len(row.completion) for row in pair.encoded], dtype=np.float64)
    values = {
        "length": (lengths, "tokens"),
        "numbers": (pair.texts.numbers, "numbers a row"),
        "separators": (pair.texts.separators, "characters a row"),
    }
    return [
        _means(subject, pair, name, of, unit) for name, (of, unit) in values.items() if of.any()
    ]


def _means(
    subject: ScanSubject, pair: PooledRows, name: str, values: Vector, unit: str
) -> Difference:
    gap, p = kolmogorov_smirnov(values, pair.samples, pair.labels)
    first = pair.samples.first
    details: dict[str, float | int | str] = {
        "rows": float(values[:first].mean()),
        "control": float(values[first:].mean()),
        "largest gap": gap,
    }
    return Difference(
        name, mean_difference(values, pair.samples, subject.settings.level), unit, p, details
    )


def _format(subject: ScanSubject, pair: PooledRows) -> Difference:
    classifier = told_apart(
        pair.texts.format(),
        pair.samples,
        pair.labels[:1_000],
        generator(subject.seed, ID, "folds"),
        subject.settings.level,
    )
    return Difference(
        "format", classifier.auroc, "AUROC a row", classifier.p, {"chance": classifier.chance}
    )


def _measurement(subject: ScanSubject, pair: PooledRows, test: Difference, p: float) -> Measurement:
    detected = p <= 1 - subject.settings.level
    return Measurement(
        check=ID,
        name=test.name,
        subject=subject.name,
        estimate=test.interval.estimate,
        low=test.interval.low,
        high=test.interval.high,
        level=subject.settings.level,
        n=pair.n,
        p=p,
        unit=test.unit,
        detected=detected,
        reason=f"{test.name}: {'another' if detected else 'not detectably another'} distribution than the control's",
        details=test.details,
    )
