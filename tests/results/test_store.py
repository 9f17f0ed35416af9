"""Stored runs: what is written comes back, and what is not a run is refused by name."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.chain_documents import decision
from tests.report.conftest import envelope
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import flagged
from undertow.errors import InputError, UndertowError
from undertow.results.run_document import RUN_SCHEMA, Arm, Comparison, RunDocument
from undertow.results.scan_document import (
    FORMER_SCHEMA,
    SCAN_SCHEMA,
    FormerScanDocument,
    ScanDocument,
)
from undertow.results.store import (
    read_result,
    read_run,
    read_run_gates,
    read_run_scans,
    read_scan,
    result_json,
    schemas,
    write_result,
)


def document(**fields: object) -> RunDocument:
    """A small run."""
    arm = Arm(arm="trait", trait="owl", replicate=0, base="b", probability=0.5)
    return envelope("owl", arms=(arm,), **fields)


def stored(path: Path, **changes: Any) -> Path:
    """A file of the run with some keys changed."""
    file = path / "results.json"
    file.write_text(json.dumps(json.loads(result_json(document())) | changes), encoding="utf-8")
    return file


def refusal(file: Path) -> InputError:
    """The error with which the file is refused."""
    with pytest.raises(InputError) as caught:
        read_run(file)
    return caught.value


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Reading undoes writing, for the file and for the directory that holds it."""
    write_result(tmp_path / "results.json", document())

    assert read_run(tmp_path / "results.json") == document()
    assert read_run(tmp_path) == document()


def test_infinite_limits_survive(tmp_path: Path) -> None:
    """JSON has no infinity and no NaN, yet both come back."""
    one = Comparison(
        name="a - b",
        estimate=1.0,
        low=-math.inf,
        high=None,
        level=0.95,
        n="1 v 1",
        p=None,
        test="none",
        unit="logits",
    )
    write_result(tmp_path / "results.json", document(comparisons=(one,), wall_seconds=math.nan))
    back = read_run(tmp_path)

    assert back.comparisons[0].low == -math.inf
    assert math.isnan(back.wall_seconds)


def test_text_that_is_not_unicode_does_not_lose_the_run(tmp_path: Path) -> None:
    """A lone surrogate, which UTF-8 cannot hold, is replaced instead of failing at the very end."""
    write_result(tmp_path / "results.json", document(config={"prompt": "a\ud800b"}))

    assert read_run(tmp_path).config == {"prompt": "a\ufffdb"}


def test_writing_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    """A refused replacement raises with a hint and leaves no partial file."""
    (tmp_path / "results.json").mkdir()
    with pytest.raises(UndertowError, match=r"cannot write .*results\.json") as caught:
        write_result(tmp_path / "results.json", document())

    assert caught.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_a_second_writing_replaces_the_first(tmp_path: Path) -> None:
    """The file holds the last document alone, and no temporary file stays."""
    write_result(tmp_path / "results.json", document(title="x" * 10_000))
    write_result(tmp_path / "results.json", document())

    assert read_run(tmp_path) == document()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"titel": "x"}, r"unknown key 'titel'.*allowed: arms, .*did you mean 'title'"),
        ({"schema": "undertow.run/2"}, r"'schema' has the value 'undertow.run/2'.*undertow.run/1"),
        ({"schema": "undertow.scan/1"}, r"'schema' has the value 'undertow.scan/1'"),
        ({"schema_": RUN_SCHEMA}, r"unknown key 'schema_'"),
        ({"seed": "7"}, r"key 'seed' has the value '7'"),
        ({"wall_seconds": "fast"}, r"key 'wall_seconds' has the value 'fast'"),
        ({"arms": [{"arm": "a", "trait": "t", "replicate": 0}]}, r"key 'arms\.0\.base' is missing"),
        (
            {"arms": [{"arm": "a", "trait": "t", "replicate": 0, "base": "b", "rowz": 1}]},
            r"unknown key 'arms\.0\.rowz'.*accuracy.*did you mean 'rows'",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """The refusal names the file, the key, its value and what is allowed, and what to type next."""
    file = stored(tmp_path, **changes)
    error = refusal(file)

    assert str(file) in error.message
    assert re.search(said, error.message)
    assert error.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "not hold a JSON object"),
        (b'{"seed": NaN}', "bare word NaN"),
        (b'{"a": {"x": 1, "x": 2}}', "key 'x' twice"),
        (b'{"title": "t"}', "key 'schema' is missing"),
        (b"\xff{}", "not UTF-8"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
    ids=["cut", "list", "nan", "twice", "no schema", "bytes", "deep", "long number"],
)
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """Malformed JSON is one error that names the file, never a traceback."""
    file = tmp_path / "results.json"
    file.write_bytes(content)

    assert said in refusal(file).message
    assert str(file) in refusal(file).message


def test_a_lone_surrogate_in_a_file_is_refused(tmp_path: Path) -> None:
    """The escape of half a character is no text."""
    file = tmp_path / "results.json"
    file.write_text(
        result_json(document(title="half")).replace("half", "\\ud800"), encoding="utf-8"
    )

    assert "not valid JSON" in refusal(file).message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The hint is a command."""
    assert refusal(tmp_path / "none.json").hint.startswith("undertow run")


def test_a_hostile_key_cannot_reach_the_terminal(tmp_path: Path) -> None:
    """Escape sequences in a key are shown, not passed on."""
    assert "\x1b" not in refusal(stored(tmp_path, **{"\x1b[31m": 1})).message


def test_the_schema_is_closed_and_names_its_version() -> None:
    """The published schema refuses unknown keys everywhere and demands the discriminating one."""
    schema = schemas()["run-1"]
    records = [schema, *(found for found in schema["$defs"].values())]

    assert schema["properties"]["schema"]["const"] == RUN_SCHEMA
    assert "schema" in schema["required"]
    assert all(record["additionalProperties"] is False for record in records)


def test_the_schema_describes_what_is_written() -> None:
    """Every key of a written document is in the schema, and every required key is written."""
    schema, written = schemas()["run-1"], json.loads(result_json(document()))

    assert set(written) == set(schema["properties"])
    assert set(written["arms"][0]) == set(schema["$defs"]["Arm"]["properties"])
    assert set(schema["required"]) <= set(written)


@pytest.mark.parametrize("kind", ALL_SCANS)
def test_a_scan_comes_back_as_it_was_written(tmp_path: Path, kind: str) -> None:
    """Reading undoes writing, for the file and for the directory that holds it."""
    write_result(tmp_path / "scan.json", ALL_SCANS[kind]())

    assert read_scan(tmp_path / "scan.json") == ALL_SCANS[kind]()
    assert read_scan(tmp_path) == ALL_SCANS[kind]()


def test_scans_are_found_beside_their_run(tmp_path: Path) -> None:
    """By the run's directory or its document, in the order of their folders; a run without any has none."""
    for name in ("trait", "control"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        write_result(
            tmp_path / "scans" / name / "scan.json", flagged().model_copy(update={"teacher": name})
        )
    (tmp_path / "scans" / "plan.toml").write_text("rank = 4")

    assert [scan.teacher for scan in read_run_scans(tmp_path)] == ["control", "trait"]
    assert read_run_scans(tmp_path / "results.json") == read_run_scans(tmp_path)
    assert read_run_scans(tmp_path / "scans") == ()


def test_decisions_are_found_beside_their_run(tmp_path: Path) -> None:
    """Likewise; keys and a trust file may lie there too."""
    for name in ("b", "a"):
        (tmp_path / "gates" / name).mkdir(parents=True)
        write_result(tmp_path / "gates" / name / "gate.json", decision(name))
    (tmp_path / "gates" / "trust.toml").write_text("version = 1")

    assert [gate.policy for gate in read_run_gates(tmp_path)] == ["a", "b"]
    assert read_run_gates(tmp_path / "gates") == ()


def test_a_file_that_a_former_version_wrote_is_read_and_written_as_it_was() -> None:
    """By either reader, with nothing added and nothing lost."""
    file = Path(__file__).with_name("former-scan.json")
    document = read_scan(file)

    assert isinstance(document, FormerScanDocument)
    assert read_result(file) == document
    assert json.loads(result_json(document)) == json.loads(file.read_text(encoding="utf-8"))


def test_a_field_of_the_other_version_is_refused(tmp_path: Path) -> None:
    """A scan/1 has no references, and a scan/2 no calibration."""
    file = tmp_path / "scan.json"
    for kind, key in (("former clear", "references"), ("clear", "calibration")):
        written = json.loads(result_json(ALL_SCANS[kind]()))
        file.write_text(json.dumps(written | {key: {}}), encoding="utf-8")
        with pytest.raises(InputError, match=f"unknown key '{key}'"):
            read_scan(file)


def test_a_scan_of_no_known_version_names_both(tmp_path: Path) -> None:
    """A run is no scan."""
    with pytest.raises(InputError, match=f"allowed: '{SCAN_SCHEMA}', '{FORMER_SCHEMA}'"):
        read_scan(stored(tmp_path))


def test_a_result_is_read_by_its_schema(tmp_path: Path) -> None:
    """The same call reads a run and a screen; a directory's run comes first."""
    write_result(tmp_path / "scan.json", flagged())
    assert isinstance(read_result(tmp_path), ScanDocument)
    write_result(tmp_path / "results.json", document())

    assert isinstance(read_result(tmp_path), RunDocument)
    assert read_result(tmp_path / "scan.json") == flagged()


@pytest.mark.parametrize("schema", ["undertow.paint/1", 1, None])
def test_a_result_of_another_schema_is_refused(tmp_path: Path, schema: object) -> None:
    """The refusal names the schemas that can be read."""
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"schema": schema}), encoding="utf-8")

    with pytest.raises(InputError, match=f"allowed: '{RUN_SCHEMA}', '{SCAN_SCHEMA}'"):
        read_result(file)


def test_a_newer_scan_asks_for_a_newer_undertow(tmp_path: Path) -> None:
    """The hint is to upgrade; a key that is unknown is named with the nearest."""
    stored = json.loads(result_json(flagged()))
    file = tmp_path / "scan.json"
    file.write_text(json.dumps(stored | {"schema": "undertow.scan/3"}), encoding="utf-8")
    with pytest.raises(InputError) as newer:
        read_result(file)
    file.write_text(json.dumps(stored | {"subject": []}), encoding="utf-8")

    assert newer.value.hint.startswith("install a newer undertow")
    with pytest.raises(InputError, match=r"unknown key 'subject'.*did you mean 'subjects'"):
        read_scan(file)


def test_infinite_numbers_of_a_scan_survive(tmp_path: Path) -> None:
    """An e-value may overflow; it comes back."""
    one = flagged().measurements[-1].model_copy(update={"estimate": math.inf, "low": -math.inf})
    write_result(tmp_path / "scan.json", flagged().model_copy(update={"measurements": (one,)}))

    assert read_scan(tmp_path).measurements == (one,)


def test_the_schema_of_scans_is_closed_and_describes_what_is_written() -> None:
    """Unknown keys are refused everywhere, and every key that is written is described."""
    schema, written = schemas()["scan-2"], json.loads(result_json(flagged()))
    records = [schema, *(found for found in schema["$defs"].values())]

    assert schema["properties"]["schema"]["const"] == SCAN_SCHEMA
    assert all(record["additionalProperties"] is False for record in records)
    assert set(written) == set(schema["properties"])


def test_characters_that_act_are_escapes_in_the_file() -> None:
    """Whoever prints the JSON prints no control of a terminal and no change of direction; it reads as the same."""
    acting = "owl \x9b31m \u202e \u200b \u2028 \ufeff \x7f"
    text = result_json(document(conclusion=acting))

    assert not set(acting) - {*"owl 31m"} & set(text)
    assert json.loads(text)["conclusion"] == acting


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("lineage", {"teachers": []}, "about no teacher"),
        ("diff", {"tuned_digests": []}, "of different lengths"),
    ],
)
def test_lists_that_a_page_could_not_show_are_refused(
    tmp_path: Path, kind: str, changes: dict[str, Any], said: str
) -> None:
    """A lineage without a teacher; a diff whose models and digests disagree."""
    honest = Path(__file__).parents[1] / "golden" / "kept" / f"{kind}.json"
    file = tmp_path / f"{kind}.json"
    file.write_text(json.dumps(json.loads(honest.read_text(encoding="utf-8")) | changes))

    with pytest.raises(InputError, match=said):
        read_result(file)
