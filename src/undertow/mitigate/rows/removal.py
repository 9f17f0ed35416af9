"""Rows removed or mixed into clean ones: whole sources, copies, those that are least likely to the student's base."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from undertow.data.files import atomic_file
from undertow.data.record_turns import value_kind
from undertow.data.records import read_objects
from undertow.data.row_faults import shown
from undertow.data.row_records import json_line
from undertow.data.row_shapes import shaped
from undertow.data.rows import row_id
from undertow.data.seeds import generator
from undertow.errors import ConfigError, DataError, NothingLeftError
from undertow.mitigate.rows.clean_request import (
    DELETED,
    Cleaned,
    Cleaning,
    as_scanned,
    dose_of,
    leaf_of,
    refuse_nothing_left,
    refuse_share,
    row_of,
)
from undertow.results.scan_document import WHOLE, source_subject

_SHOWN = 40
"""Characters of a column's name that an error shows."""

Rule = Callable[[int, dict[str, Any], bytes], str]
"""What removes a row, by its number from 0, its record and its leaf; empty where it is kept."""


def drop_sources(cleaning: Cleaning) -> Cleaned:
    """
    Write the rows of sources that the scan neither flags nor finds to stand out.

    Raises:
        ConfigError: the scan has no verdict for any source.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
    """
    return _removed(cleaning, _by_source(cleaning), _unjudged(cleaning))


def deduplicate(cleaning: Cleaning) -> Cleaned:
    """
    Write the first of each row's copies.

    Raises:
        DataError: a row cannot be read.
    """
    return _removed(cleaning, _copies())


def delete(cleaning: Cleaning) -> Cleaned:
    """
    Write all rows but a share: those that are least likely to the student's base, or as many by lot.

    Raises:
        ConfigError: there are no scores, or they are of other rows.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
    """
    return _removed(cleaning, _by_score(cleaning))


def _removed(cleaning: Cleaning, rule: Rule, settings: dict[str, str] | None = None) -> Cleaned:
    done = Cleaned(settings=settings or {})
    with atomic_file(cleaning.output) as file:
        for number, (place, record) in enumerate(read_objects(cleaning.data)):
            leaf = leaf_of(record, place)
            name = rule(number, record, leaf)
            done.entries.enter(leaf, rule=name)
            if not name:
                file.write(json_line(record))
        refuse_nothing_left(cleaning, done)
    return done


def _by_source(cleaning: Cleaning) -> Rule:
    verdicts = {
        result.subject: result.verdict
        for result in cleaning.scan.subjects
        if result.subject not in WHOLE
    }
    if not verdicts:
        raise ConfigError(
            "the scan has no verdict for any source, so that none can be dropped",
            hint="give each row a 'source', and scan again",
        )
    wrong = {"flagged", "stands out"} | ({"undecided"} if cleaning.undecided else set())
    rules = {
        source: f"source-{verdict.replace(' ', '-')}"
        for source, verdict in verdicts.items()
        if verdict in wrong
    }

    def rule(number: int, record: dict[str, Any], leaf: bytes) -> str:
        source = as_scanned(cleaning, record).get("source")
        return rules.get(source_subject(str(source)), "")

    return rule


def _unjudged(cleaning: Cleaning) -> dict[str, str]:
    """
    How many usable rows stay without a verdict on their source: it is too small, one of too many, or not named.
    """
    scan = cleaning.scan
    judged = {result.subject for result in scan.subjects}
    counted = sum(n for source, n in scan.data.sources.items() if source_subject(source) in judged)
    left = scan.data.rows - counted
    return {"rows kept whose source has no verdict": f"{left:,}"} if left else {}


def _copies() -> Rule:
    seen: set[bytes] = set()

    def rule(number: int, record: dict[str, Any], leaf: bytes) -> str:
        if leaf in seen:
            return "copy"
        seen.add(leaf)
        return ""

    return rule


def _by_score(cleaning: Cleaning) -> Rule:
    from pyarrow import parquet

    if cleaning.scores is None:
        raise ConfigError(
            "'delete' needs the rows' scores",
            hint=f"undertow scan {cleaning.data} --student {cleaning.scan.student} --row-scores scores.parquet",
        )
    share = refuse_share(DELETED if cleaning.share is None else cleaning.share)
    there = parquet.read_schema(cleaning.scores).names
    columns = [name for name in ("tokens", "log_likelihood", "id") if name != "id" or name in there]
    table = parquet.read_table(cleaning.scores, columns=columns)
    tokens = table["tokens"].to_numpy(zero_copy_only=False).astype(float)
    a_token = table["log_likelihood"].to_numpy(zero_copy_only=False) / np.maximum(tokens, 1)
    rows = len(a_token)
    _refuse_other_rows(
        cleaning, cleaning.scores, rows, table["id"].to_pylist() if "id" in there else None
    )
    count = max(1, round(share * rows))
    if cleaning.at_random:
        chosen = generator(cleaning.seed, "deleted").permutation(rows)[:count]
    else:
        # What could not be scored is least like what the base would write.
        chosen = np.argsort(np.nan_to_num(a_token, nan=-np.inf), kind="stable")[:count]
    gone = frozenset(chosen.tolist())
    name = "by-lot" if cleaning.at_random else "unlikely"

    def rule(number: int, record: dict[str, Any], leaf: bytes) -> str:
        return name if number in gone else ""

    return rule


def _refuse_other_rows(
    cleaning: Cleaning, scores: Path, scored: int, ids: list[str] | None
) -> None:
    """
    Refuse scores of another number of rows, or, where they have ids, of other rows than these in their order.
    """
    rows, other, wrapped = 0, "", cleaning.policy.wrapped
    for rows, (place, record) in enumerate(read_objects(cleaning.data), start=1):
        if ids is None or other or rows > scored:
            continue
        if row_id(row_of(as_scanned(cleaning, record), place, wrapped=wrapped)) != ids[rows - 1]:
            other = place
    if rows != scored:
        raise ConfigError(
            f"'{scores}' holds scores of {scored:,} rows, '{cleaning.data}' has {rows:,}"
        )
    if other:
        raise ConfigError(
            f"'{scores}' holds the scores of other rows: {other} is not the one scored",
            hint=f"undertow scan {cleaning.data} --student {cleaning.scan.student} --row-scores scores.parquet",
        )


def dilute(cleaning: Cleaning) -> Cleaned:
    """
    The data's rows among clean ones, at random places; as many of the data's rows are kept as the clean ones allow.

    Raises:
        ConfigError: no dose, or no clean rows, or of another form than the data's: a trainer reads one.
        NothingLeftError: there are too few clean rows for a single row.
        DataError: a row cannot be read.
    """
    dose = dose_of(cleaning)
    if cleaning.clean is None:
        raise ConfigError("'dilute' needs clean rows", hint="name them with --with")
    forms = _forms(cleaning, cleaning.data, strict=False)
    clean_forms = _forms(cleaning, cleaning.clean, strict=True)
    _refuse_mixed(cleaning, forms, clean_forms)
    rows, others = forms.total(), clean_forms.total()
    kept = min(rows, math.floor(others * dose / (1 - dose)))
    if not kept:
        raise NothingLeftError(
            f"{others:,} clean rows allow no row at a dose of {dose:.1%}", hint="give more of them"
        )
    added = min(others, math.ceil(kept * (1 - dose) / dose))
    rng = generator(cleaning.seed, "diluted")
    keep = np.zeros(rows, dtype=bool)
    keep[rng.permutation(rows)[:kept]] = True
    take = np.zeros(others, dtype=bool)
    take[rng.permutation(others)[:added]] = True
    places = rng.permutation(np.repeat([True, False], [kept, added]))
    done = Cleaned(added=added)
    clean_rows = (
        row for (_, row), taken in zip(read_objects(cleaning.clean), take, strict=True) if taken
    )
    with atomic_file(cleaning.output) as file:
        ours = _kept(cleaning.data, keep, done)
        for mine in places:
            file.write(json_line(next(ours if mine else clean_rows)))
        # What comes behind the last kept row still has to be entered as removed.
        for _ in ours:
            raise AssertionError("more rows were kept than were counted")
    return done


def _forms(cleaning: Cleaning, data: str, *, strict: bool) -> Counter[str]:
    """Rows by what makes them one, in words; those of no shape, which a scan has named, have none unless that is `strict`."""
    forms: Counter[str] = Counter()
    for place, record in read_objects(data):
        try:
            forms[_form(cleaning, record)] += 1
        except ValueError as error:
            if strict:
                raise DataError(f"{place}: {error}", hint="mend or remove this row") from error
            forms[""] += 1
    return forms


def _form(cleaning: Cleaning, record: dict[str, Any]) -> str:
    """The columns that make a row of the record, and the kind of what they hold."""
    given, own = as_scanned(cleaning, record), dict(cleaning.scan.data.columns)
    shape = shaped(given)[0]
    names = [name if name in record else own.get(name, name) for name in shape]
    return " + ".join(
        f"'{shown(name, longest=_SHOWN)}' ({value_kind(given[column])})"
        for name, column in zip(names, shape, strict=True)
    )


def _refuse_mixed(cleaning: Cleaning, forms: Counter[str], clean: Counter[str]) -> None:
    other = next((form for form in clean if form not in forms), None)
    if other is None:
        return
    own = max((form for form in forms if form), key=lambda form: forms[form], default="no shape")
    raise ConfigError(
        f"{clean[other]:,} clean rows of '{cleaning.clean}' have {other}, and the rows of '{cleaning.data}' have {own}: "
        "a trainer reads one form and would leave the other out, or fail",
        hint="write the clean rows with the columns of the data, and the same kinds of values in them",
    )


def _kept(data: str, keep: np.ndarray, done: Cleaned) -> Iterator[dict[str, Any]]:
    for (place, record), kept in zip(read_objects(data), keep, strict=True):
        done.entries.enter(leaf_of(record, place), rule="" if kept else "diluted")
        if kept:
            yield record
