"""Rows removed or mixed into clean ones: whole sources, copies, those that are least likely to the student's base."""

from __future__ import annotations

import contextlib
import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undertow.data.dataset import open_dataset
from undertow.data.files import atomic_file
from undertow.data.leaf_file import LeafFile
from undertow.data.part_leaves import Survey
from undertow.data.records import ShardPart, bytes_here, parts, read_objects
from undertow.data.rows import row_id
from undertow.data.seeds import generator
from undertow.engines.ray_data import spread_of
from undertow.errors import ConfigError, NothingLeftError, first_line
from undertow.mitigate.rows.clean_request import (
    DELETED,
    Cleaned,
    Cleaning,
    RowsAsScanned,
    as_scanned,
    dose_of,
    refuse_nothing_left,
    refuse_share,
    row_of,
)
from undertow.mitigate.rows.part_edits import (
    FormsFound,
    PartEdit,
    PartForms,
    Refusal,
    Spread,
    edited,
    enter,
    part_results,
)
from undertow.results.scan_document import WHOLE, source_subject

_FIRST = 1 << 23
"""Leaves that are ordered at once where copies are looked for: about 400 MB."""


def drop_sources(cleaning: Cleaning, rows: RowsAsScanned) -> Cleaned:
    """
    Write the rows of sources that the scan neither flags nor finds to stand out.

    Raises:
        ConfigError: the scan has no verdict for any source.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
    """
    edit = PartEdit(by_source=_rules(cleaning), columns=cleaning.scan.data.columns)
    return _removed(cleaning, rows, edit, settings=_unjudged(cleaning))


def deduplicate(cleaning: Cleaning, rows: RowsAsScanned) -> Cleaned:
    """
    Write the first of each row's copies.

    Raises:
        DataError: a row cannot be read.
    """
    assert rows.leaves is not None
    return _removed(cleaning, rows, PartEdit("copy"), later_copies(rows.leaves))


def delete(cleaning: Cleaning, rows: RowsAsScanned) -> Cleaned:
    """
    Write all rows but a share: those that are least likely to the student's base, or as many by lot.

    Raises:
        ConfigError: there are no scores, or they are of other rows.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
    """
    gone, expected = _by_score(cleaning, rows.survey)
    edit = PartEdit(
        "by-lot" if cleaning.at_random else "unlikely",
        columns=cleaning.scan.data.columns,
        identified=expected is not None,
        wrapped=cleaning.policy.wrapped,
    )
    return _removed(cleaning, rows, edit, gone, expected=expected)


def _removed(
    cleaning: Cleaning,
    rows: RowsAsScanned,
    edit: PartEdit,
    gone: NDArray[np.bool_] | None = None,
    settings: dict[str, str] | None = None,
    expected: Iterator[str] | None = None,
) -> Cleaned:
    """`expected` are the digests of all parts' ids."""
    done = Cleaned(settings=settings or {})
    edit = replace(edit, several=len({part.shard for part in rows.survey.parts}) > 1)
    with atomic_file(cleaning.output) as file:
        for part, became in zip(
            rows.survey.parts,
            edited(rows.survey, edit, gone, file, cleaning.output, rows.spread),
            strict=True,
        ):
            if expected is not None and next(expected) != became.ids:
                raise _other_rows(cleaning, part)
            enter(done.entries, became)
        refuse_nothing_left(cleaning, done)
    return done


def _rules(cleaning: Cleaning) -> dict[str, str]:
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
    return {
        source: f"source-{verdict.replace(' ', '-')}"
        for source, verdict in verdicts.items()
        if verdict in wrong
    }


def _unjudged(cleaning: Cleaning) -> dict[str, str]:
    """How many usable rows stay without a verdict on their source: it is too small, one of too many, or not named."""
    scan = cleaning.scan
    judged = {result.subject for result in scan.subjects}
    counted = sum(n for source, n in scan.data.sources.items() if source_subject(source) in judged)
    left = scan.data.rows - counted
    return {"rows kept whose source has no verdict": f"{left:,}"} if left else {}


def later_copies(leaves: LeafFile) -> NDArray[np.bool_]:
    """Whether an equal leaf comes earlier, shape (leaves,); held are a byte a row, and some leaves at once."""
    words, rows = leaves.words(), len(leaves)
    copies = np.zeros(rows, dtype=np.bool_)
    turns = -(-rows // _FIRST)
    for turn in range(turns):
        places = np.flatnonzero(words[:, 0] % turns == turn) if turns > 1 else np.arange(rows)
        keys = words[places, 0].astype(np.uint64)
        ordered = np.sort(keys)
        again = np.isin(keys, ordered[1:][ordered[1:] == ordered[:-1]])
        some = places[again]
        repeated = words[some].astype(np.uint64)
        order = np.lexsort(repeated.T[::-1])
        same = (repeated[order][1:] == repeated[order][:-1]).all(axis=1)
        copies[some[order[1:][same]]] = True
    return copies


def _by_score(cleaning: Cleaning, survey: Survey) -> tuple[NDArray[np.bool_], Iterator[str] | None]:
    """Which rows go, and of each part the digest of its rows' ids, where the scores have them."""
    if cleaning.scores is None:
        raise ConfigError(
            "'delete' needs the rows' scores",
            hint=f"undertow scan {cleaning.data} --student {cleaning.scan.student} --row-scores scores.parquet",
        )
    share = refuse_share(DELETED if cleaning.share is None else cleaning.share)
    a_token, identified = read_scores(cleaning.scores)
    scored, rows = len(a_token), sum(survey.rows)
    if rows != scored:
        raise ConfigError(
            f"'{cleaning.scores}' holds scores of {scored:,} rows, '{cleaning.data}' has {rows:,}"
        )
    count = max(1, round(share * scored))
    if cleaning.at_random:
        chosen = generator(cleaning.seed, "deleted").permutation(scored)[:count]
    else:
        # What could not be scored is least like what the base would write.
        chosen = np.argsort(np.nan_to_num(a_token, nan=-np.inf), kind="stable")[:count]
    gone = np.zeros(scored, dtype=np.bool_)
    gone[chosen] = True
    return gone, _id_digests(cleaning.scores, survey.rows) if identified else None


def read_scores(path: Path) -> tuple[NDArray[np.float64], bool]:
    """
    The mean log-likelihood of a token of each row that was scored, in nats, NaN where it has none; whether rows have ids.

    Raises:
        ConfigError: the file is damaged, or holds no scores of rows.
    """
    import pyarrow
    from pyarrow import parquet

    with _scores_refused(path):
        table = parquet.read_table(path, columns=["tokens", "log_likelihood"])
        tokens, likelihoods = (
            table[name].cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
            for name in ("tokens", "log_likelihood")
        )
        identified = "id" in parquet.read_schema(path).names
    return likelihoods / np.maximum(tokens, 1), identified


@contextlib.contextmanager
def _scores_refused(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"'{path}' holds no row scores, or is damaged: {first_line(error)}",
            hint="undertow scan DATA --student MODEL --row-scores FILE writes them",
        ) from error


def _id_digests(scores: Path, parts: Sequence[int]) -> Iterator[str]:
    ids = _ids(scores)
    for rows in parts:
        yield hashlib.sha256("".join(islice(ids, rows)).encode()).hexdigest()


def _ids(scores: Path) -> Iterator[str]:
    from pyarrow import parquet

    with _scores_refused(scores), parquet.ParquetFile(scores) as file:
        for batch in file.iter_batches(columns=["id"]):
            # One that is none is no row's.
            yield from map(str, batch.column(0).to_pylist())


def _other_rows(cleaning: Cleaning, part: ShardPart) -> ConfigError:
    """The error of scores of other rows, the first of which lies in this part."""
    wrapped = cleaning.policy.wrapped
    assert cleaning.scores is not None
    other = part.shard.named
    for id, (place, record) in zip(
        _ids(cleaning.scores), read_objects(cleaning.data), strict=False
    ):
        if row_id(row_of(as_scanned(cleaning, record), place, wrapped=wrapped)) != id:
            other = place
            break
    return ConfigError(
        f"'{cleaning.scores}' holds the scores of other rows: {other} is not the one scored",
        hint=f"undertow scan {cleaning.data} --student {cleaning.scan.student} --row-scores scores.parquet",
    )


def dilute(cleaning: Cleaning, rows: RowsAsScanned) -> Cleaned:
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
    columns = cleaning.scan.data.columns
    data, forms = _forms(rows.survey.parts, PartForms(columns), rows.spread)
    source = open_dataset(cleaning.clean)
    spread = spread_of(cleaning.engine, cleaning.jobs, bytes_here(source), 0.0, cleaning.memory)
    every = [part for shard in source.shards for part in parts(shard)]
    clean, clean_forms = _forms(every, PartForms(columns, strict=True), spread)
    _refuse_mixed(cleaning, forms, clean_forms)
    rows_given, others = sum(data.rows), sum(clean.rows)
    kept = min(rows_given, math.floor(others * dose / (1 - dose)))
    if not kept:
        raise NothingLeftError(
            f"{others:,} clean rows allow no row at a dose of {dose:.1%}", hint="give more of them"
        )
    added = min(others, math.ceil(kept * (1 - dose) / dose))
    rng = generator(cleaning.seed, "diluted")
    gone, left = np.ones(rows_given, dtype=np.bool_), np.ones(others, dtype=np.bool_)
    gone[rng.permutation(rows_given)[:kept]] = False
    left[rng.permutation(others)[:added]] = False
    places = rng.permutation(np.repeat([True, False], [kept, added]))
    done = Cleaned(added=added)
    folder = cleaning.output.parent
    with (
        atomic_file(cleaning.output) as file,
        tempfile.TemporaryFile(dir=folder) as ours,
        tempfile.TemporaryFile(dir=folder) as theirs,
    ):
        for survey, edit, away, lines, way in (
            (data, PartEdit("diluted"), gone, ours, rows.spread),
            (clean, PartEdit("left"), left, theirs, spread),
        ):
            for became in edited(survey, edit, away, lines, cleaning.output, way):
                if survey is data:
                    enter(done.entries, became)
            lines.seek(0)
        file.writelines(next(ours if mine else theirs) for mine in places)
    return done


def _forms(
    every: Sequence[ShardPart], count: PartForms, spread: Spread | None
) -> tuple[Survey, Counter[str]]:
    """Rows by what makes them one, in words, and how many lie in which part."""
    forms: Counter[str] = Counter()
    counts = list[FormsFound]()
    for part in part_results(count, every, spread):
        forms.update(part.forms)
        counts.append(replace(part, forms=Counter()))
        if part.error is not None:
            break
    rows, lines = tuple(part.rows for part in counts), tuple(part.lines for part in counts)
    survey = Survey(tuple(every[: len(counts)]), rows, lines, "")
    if (error := counts[-1].error) is not None:
        shard, before = every[len(counts) - 1].shard, survey.before()[-1]
        raise error.at(shard, before) if isinstance(error, Refusal) else error
    return survey, forms


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
