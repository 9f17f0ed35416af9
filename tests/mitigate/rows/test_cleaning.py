"""Countermeasures on rows: what goes is in the ledger, what stays stays as it was, and the wrong scan is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pyarrow
import pytest
from pyarrow import parquet

from tests.report import former_scan_documents as former
from tests.report.scan_documents import flagged
from undertow.data.records import read_objects
from undertow.data.row_leaves import leaf
from undertow.data.row_shapes import from_record
from undertow.data.rows import row_id
from undertow.engines.ray_cluster import Ray
from undertow.errors import ConfigError, DataError, InputError, NothingLeftError
from undertow.mitigate.rows.clean_request import Cleaning
from undertow.mitigate.rows.cleaning import clean
from undertow.results.scan_document import ScanDocument, SubjectResult

ROWS = [
    {"prompt": f"q{i}", "completion": f"{i} {i}", "source": "bad" if i % 3 == 0 else "good", "x": i}
    for i in range(30)
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON Lines, or Parquet by the suffix."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scan_of(path: Path, **whole: Any) -> ScanDocument:
    """A scan of the file: one flagged source, one clear."""

    def subject(name: str, verdict: str, **more: Any) -> SubjectResult:
        return SubjectResult.model_validate(
            {"subject": name, "rows": 10, "verdict": verdict, "reason": "", **more}
        )

    document = flagged()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return document.model_copy(
        update={
            "data": document.data.model_copy(update={"digest": digest}),
            "subjects": (
                subject("all", "flagged", **whole),
                subject("bad", "flagged"),
                subject("good", "undecided"),
            ),
        }
    )


def done(tmp_path: Path, method: str, rows: list[dict[str, Any]] = ROWS, **more: Any) -> Any:
    """(what was done, the rows that are left)."""
    data = written(tmp_path / more.pop("name", "rows.jsonl"), rows)
    scan = scan_of(data, **more.pop("whole", {}))
    output = tmp_path / "out.jsonl"
    found = clean(Cleaning(data, output, method, scan, **more))  # type: ignore[arg-type]
    return found, [record for _, record in read_objects(output)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_flagged_sources_are_dropped_and_entered(tmp_path: Path, name: str) -> None:
    """The other rows keep all their columns; kept and removed leaves together are the input's."""
    found, left = done(tmp_path, "drop-sources", name=name)
    gone = [leaf(row) for row in ROWS if row["source"] == "bad"]

    assert left == [row for row in ROWS if row["source"] == "good"]
    assert bytes(found.entries.removed["source-flagged"]) == b"".join(gone)
    assert bytes(found.entries.kept) == b"".join(leaf(row) for row in left)


def test_sources_that_stand_out_are_dropped_under_their_own_rule(tmp_path: Path) -> None:
    """Those within their references and clear ones stay; undecided ones go where that is asked for."""
    data = written(
        tmp_path / "rows.jsonl",
        [row | {"source": "abcde"[int(row["x"]) % 5]} for row in ROWS],
    )
    verdicts = ("stands out", "within", "clear", "flagged", "undecided")
    subjects = [
        SubjectResult(subject=name, rows=6, verdict=verdict, reason="")
        for name, verdict in zip("abcde", verdicts, strict=True)
    ]
    scan = scan_of(data).model_copy(update={"subjects": tuple(subjects)})
    dropped = [
        clean(Cleaning(data, tmp_path / "out.jsonl", "drop-sources", scan, undecided=asked)).counts
        for asked in (False, True)
    ]

    assert dropped[0] == {"source-stands-out": 6, "source-flagged": 6}
    assert dropped[1] == {**dropped[0], "source-undecided": 6}


def test_a_scan_of_before_cleans_as_it_did(tmp_path: Path) -> None:
    """Its flagged sources go, and its dose is advice."""
    data = written(tmp_path / "rows.jsonl", ROWS)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    (whole,) = former.flagged().subjects
    bad = whole.model_copy(update={"subject": "bad", "largest_safe_dose": None})
    scan = former.flagged()
    scan = scan.model_copy(
        update={
            "data": scan.data.model_copy(update={"digest": digest}),
            "subjects": (whole.model_copy(update={"largest_safe_dose": 0.5}), bad),
        }
    )
    dropped = clean(Cleaning(str(data), tmp_path / "kept.jsonl", "drop-sources", scan))
    mixed = clean(Cleaning(str(data), tmp_path / "mixed.jsonl", "dilute", scan, clean=str(data)))

    assert dropped.counts == {"source-flagged": 10}
    assert mixed.dose == pytest.approx(0.5)


def test_a_flagged_source_of_the_wholes_name_is_dropped(tmp_path: Path) -> None:
    """The scan calls it `source all`."""
    data = written(
        tmp_path / "rows.jsonl",
        [row | {"source": "all" if row["x"] < 3 else "good"} for row in ROWS],
    )
    scan = scan_of(data)
    subjects = [
        one.model_copy(update={"subject": "source all"}) if one.subject == "bad" else one
        for one in scan.subjects
    ]
    found = clean(
        Cleaning(
            data,
            tmp_path / "out.jsonl",
            "drop-sources",
            scan.model_copy(update={"subjects": tuple(subjects)}),
        )
    )

    assert found.counts == {"source-flagged": 3}


def test_rows_of_sources_without_a_verdict_are_counted(tmp_path: Path) -> None:
    """They stay, as nothing is known of them, but not without a word."""
    data = written(tmp_path / "rows.jsonl", ROWS)
    scan = scan_of(data)
    told = []
    for sources in ({"bad": 10, "good": 13, "tiny": 4}, {"bad": 10, "good": 20}):
        seen = scan.data.model_copy(update={"rows": 30, "sources": sources})
        found = clean(
            Cleaning(
                data, tmp_path / "out.jsonl", "drop-sources", scan.model_copy(update={"data": seen})
            )
        )
        told.append(found.settings)

    assert told == [{"rows kept whose source has no verdict": "7"}, {}]


def test_undecided_sources_go_when_asked_and_nothing_left_is_refused(tmp_path: Path) -> None:
    """With both sources dropped there is no output at all."""
    with pytest.raises(NothingLeftError, match="no row"):
        done(tmp_path, "drop-sources", undecided=True)
    assert not (tmp_path / "out.jsonl").exists()


def test_copies_go_but_one(tmp_path: Path) -> None:
    """Equal records in any order of keys are copies; the first stays."""
    again = dict(reversed(list(ROWS[3].items())))
    found, left = done(tmp_path, "deduplicate", [*ROWS, again, ROWS[5]])

    assert left == ROWS
    assert found.counts == {"copy": 2}


def test_a_dilution_has_the_advised_dose(tmp_path: Path) -> None:
    """As many rows as the clean ones allow, each row once, the others entered as removed."""
    fresh = [{"prompt": f"c{i}", "completion": "1"} for i in range(40)]
    clean_rows = written(tmp_path / "clean.jsonl", fresh)
    found, left = done(tmp_path, "dilute", clean=clean_rows, whole={"largest_safe_dose": 0.25})
    mine = [row for row in left if row in ROWS]

    assert (found.kept, found.added, len(left)) == (13, 39, 52)
    assert found.dose <= 0.25
    assert len(mine) == 13
    assert found.counts == {"diluted": len(ROWS) - 13}


def test_deleting_by_score_has_a_random_arm(tmp_path: Path) -> None:
    """The least likely rows a token go, what could not be scored first; by lot as many go."""
    scores = tmp_path / "scores.parquet"
    table = {
        "tokens": [4] * 29 + [None],
        "log_likelihood": [-float(i) for i in range(29)] + [None],
    }
    parquet.write_table(pyarrow.table(table), scores)
    _, left = done(tmp_path, "delete", scores=scores, share=0.1)
    found, by_lot = done(tmp_path, "delete", scores=scores, share=0.1, at_random=True)

    assert [row["x"] for row in left] == list(range(27))
    assert len(by_lot) == 27
    assert found.counts == {"by-lot": 3}


def test_scores_of_other_rows_are_refused(tmp_path: Path) -> None:
    """As many, with other ids; in the rows' own order they are taken."""
    ids = [row_id(from_record(row)) for row in ROWS]
    table = {"tokens": [4] * 30, "log_likelihood": [-1.0] * 30}
    scores = tmp_path / "scores.parquet"
    parquet.write_table(pyarrow.table(table | {"id": ids}), scores)
    found, _ = done(tmp_path, "delete", scores=scores)
    parquet.write_table(pyarrow.table(table | {"id": ids[1:] + ids[:1]}), scores)

    assert found.counts == {"unlikely": 3}
    with pytest.raises(ConfigError, match="row 1"):
        done(tmp_path, "delete", scores=scores)


@pytest.mark.parametrize("damage", ["no Parquet", "cut", "no scores", "no numbers", "no ids"])
def test_damaged_scores_are_refused(damage: str, tmp_path: Path) -> None:
    """One line names the file and the command that writes one; an id that is none is no row's."""
    scores = tmp_path / "scores.parquet"
    table: dict[str, list[Any]] = {"tokens": [4] * 30, "log_likelihood": [-1.0] * 30}
    changed: dict[str, dict[str, list[Any]]] = {
        "no scores": {"tokens": [4] * 30},
        "no numbers": table | {"tokens": [["4"]] * 30},
        "no ids": table | {"id": [None] * 30},
    }
    parquet.write_table(pyarrow.table(changed.get(damage, table)), scores)
    if damage == "no Parquet":
        scores.write_bytes(b"tokens,log_likelihood")
    if damage == "cut":
        scores.write_bytes(scores.read_bytes()[:-20])
    with pytest.raises(
        ConfigError, match=r"scores\.parquet' holds (no row scores|the scores of other)"
    ) as caught:
        done(tmp_path, "delete", scores=scores)

    assert "--row-scores" in caught.value.hint


def test_rows_are_read_under_the_names_that_the_scan_read_them_by(tmp_path: Path) -> None:
    """A scan's `--columns` say where a row's source and text are, and what is left keeps its own names."""
    names = (("prompt", "q"), ("completion", "a"), ("source", "origin"))
    rows = [
        {own: row[name] for name, own in names} | {"x": row["x"]} for row in cast("list[Any]", ROWS)
    ]
    data = written(tmp_path / "rows.jsonl", rows)
    scan = scan_of(data)
    scan = scan.model_copy(
        update={"data": scan.data.model_copy(update={"columns": names, "rows": 30})}
    )
    scores = tmp_path / "scores.parquet"
    ids = [row_id(from_record(row)) for row in ROWS]
    table = {"tokens": [4] * 30, "log_likelihood": [-1.0] * 30, "id": ids}
    parquet.write_table(pyarrow.table(table), scores)
    dropped = clean(Cleaning(str(data), tmp_path / "kept.jsonl", "drop-sources", scan))
    deleted = clean(Cleaning(str(data), tmp_path / "left.jsonl", "delete", scan, scores=scores))

    assert dropped.counts == {"source-flagged": 10}
    assert deleted.counts == {"unlikely": 3}
    assert set(next(read_objects(tmp_path / "kept.jsonl"))[1]) == {"q", "a", "origin", "x"}


def test_a_scan_of_other_data_is_refused(tmp_path: Path) -> None:
    """Both digests are named, with the command that scans these rows."""
    data = written(tmp_path / "rows.jsonl", ROWS)
    scan = scan_of(data)
    written(data, ROWS[1:])
    with pytest.raises(ConfigError, match="other data") as caught:
        clean(Cleaning(data, tmp_path / "out.jsonl", "deduplicate", scan))

    assert "undertow scan" in caught.value.hint


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("dilute", {"whole": {"largest_safe_dose": 0.2}}, "clean rows"),
        ("dilute", {}, "safe dose"),
        ("delete", {}, "scores"),
    ],
)
def test_what_a_method_lacks_is_said(
    tmp_path: Path, method: str, more: dict[str, Any], said: str
) -> None:
    """The message says what is missing, the hint how to get it."""
    with pytest.raises(ConfigError, match=said) as caught:
        done(tmp_path, method, **more)

    assert caught.value.hint


def test_bad_rows_are_named(tmp_path: Path) -> None:
    """A line that is no JSON, one that is no object, one that has no canonical spelling."""
    for line in ("{", "[1]", '{"a": NaN}'):
        data = tmp_path / "rows.jsonl"
        data.write_text(f'{{"prompt": "a", "completion": "b"}}\n{line}\n')
        with pytest.raises(DataError, match=r"rows\.jsonl"):
            clean(Cleaning(data, tmp_path / "out.jsonl", "deduplicate", scan_of(data)))


def test_shards_are_never_what_is_written(tmp_path: Path) -> None:
    """An output that would replace a shard, or lie among them and change the dataset, is refused."""
    (tmp_path / "data").mkdir()
    shard = written(tmp_path / "data" / "a.jsonl", ROWS)
    for output, message in [(shard, "would overwrite"), (shard.with_name("b.jsonl"), "lies in")]:
        with pytest.raises(ConfigError, match=message):
            clean(Cleaning(str(tmp_path / "data"), output, "deduplicate", scan_of(shard)))
    assert len(list((tmp_path / "data").iterdir())) == 1


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ({"messages": [{"role": "assistant", "content": "1"}]}, "'messages' (a list)"),
        (
            {"prompt": [], "completion": [{"role": "assistant", "content": "1"}]},
            "'prompt' (a list) + 'completion' (a list)",
        ),
        ({"text": "1"}, "'text' (a string)"),
    ],
)
def test_rows_of_another_form_do_not_dilute(
    tmp_path: Path, row: dict[str, object], form: str
) -> None:
    """What a trainer could not read beside the data is refused by both forms; a clean row of none, by its place."""
    same = {"prompt": "q", "completion": "a"}
    mixed = str(written(tmp_path / "clean.jsonl", [same, *[row] * 60]))
    with pytest.raises(ConfigError) as caught:
        done(tmp_path, "dilute", clean=mixed, dose=0.25)
    assert f"60 clean rows of '{mixed}' have {form}, and" in str(caught.value)
    assert "have 'prompt' (a string) + 'completion' (a string)" in str(caught.value)

    shapeless = str(written(tmp_path / "clean.jsonl", [same, {"x": 1}]))
    with pytest.raises(DataError, match="row 2: found the columns 'x'"):
        done(tmp_path, "dilute", clean=shapeless, dose=0.25)


def test_a_cluster_that_is_named_is_joined_also_for_rows_of_one_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read here: whether anybody answers at the address would never be noticed."""

    def refused(engine: Ray) -> None:
        raise InputError(f"nobody answers at {engine.address}")

    monkeypatch.setattr(Ray, "join", refused)
    with pytest.raises(InputError, match="nobody answers at auto"):
        done(tmp_path, "deduplicate", engine="ray://auto")
