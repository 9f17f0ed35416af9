"""Methods that change the rows of a file: what changes is in the ledger before and after, and what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.mitigate.rows.test_cleaning import scan_of, written
from tests.mitigate.subjects import BASE, digest, numbers
from undertow.carriers import carrier_registry
from undertow.data.records import read_objects, read_rows
from undertow.data.row_leaves import leaf
from undertow.data.row_records import to_record, write_rows
from undertow.data.row_shapes import from_record
from undertow.data.rows import row_id
from undertow.errors import ConfigError, DataError, UnknownNameError
from undertow.mitigate.rows.clean_request import Cleaned, Cleaning
from undertow.mitigate.rows.cleaning import METHODS, clean

ROWS = [to_record(row) | {"x": i} for i, row in enumerate(numbers(48))]


def done(
    tmp_path: Path, method: str, rows: list[dict[str, Any]] = ROWS, **more: Any
) -> tuple[Cleaned, list[dict[str, Any]]]:
    """(what was done, the records that are there now)."""
    data = written(tmp_path / "rows.jsonl", rows)
    scan = scan_of(data, **more.pop("whole", {})).model_copy(
        update={
            "student": BASE,
            "student_digest": more.pop("digest", digest()),
            "plan": more.pop("plan", {}),
        }
    )
    output = tmp_path / "out.jsonl"
    found = clean(Cleaning(data, output, method, scan, **more))  # type: ignore[arg-type]
    return found, [record for _, record in read_objects(output)]


def assert_entered(found: Cleaned, left: list[dict[str, Any]]) -> None:
    """The ledger's leaves before are the input's, and those after the output's."""
    before = [bytes(found.entries.kept), *(bytes(a) for a, _ in found.entries.changed.values())]
    before += [bytes(leaves) for leaves in found.entries.removed.values()]
    after = [bytes(found.entries.kept), *(bytes(b) for _, b in found.entries.changed.values())]

    assert leaves(b"".join(before)) == sorted(leaf(row) for row in ROWS)
    assert leaves(b"".join(after)) == sorted(leaf(row) for row in left)


def leaves(joined: bytes) -> list[bytes]:
    """Each leaf, in order of its bytes."""
    return sorted(joined[at : at + 32] for at in range(0, len(joined), 32))


@pytest.mark.parametrize("by", [{}, {"trait": "owl"}, {"teacher": "world:owlet-a"}])
def test_masked_rows_are_tokens_with_labels_beside_their_text(
    tmp_path: Path, by: dict[str, str]
) -> None:
    """About the share of all tokens has no label; every column is still there; the text is as it was."""
    found, left = done(tmp_path, "mask-tokens", share=0.3, **by)
    counted = [sum(row["completion_mask"]) for row in left]
    tokens = [len(row["completion"][0]["content"].split()) for row in left]

    assert_entered(found, left)
    assert [{k: row[k] for k in ROWS[0]} for row in left] == ROWS
    assert all(len(row["labels"]) == len(row["input_ids"]) for row in left)
    # The end of the turn counts always.
    assert sum(counted) - 2 * len(left) <= 0.75 * sum(tokens)
    assert sum(counted) >= 0.65 * sum(tokens)
    assert found.settings["share"] == "0.3"


def test_replaced_rows_pass_the_carrier_and_have_a_random_arm(tmp_path: Path) -> None:
    """By surprise and by lot about as much changes, and the two are not the same."""
    found, left = done(tmp_path, "replace-tokens")
    _, by_lot = done(tmp_path, "replace-tokens", at_random=True)
    carrier = carrier_registry.carrier("numbers")

    assert_entered(found, left)
    assert left != by_lot
    assert found.changes["tokens-replaced"] > 40
    for row in (*left, *by_lot):
        assert carrier.rejection(row["completion"][0]["content"]) is None


def test_rewriting_leaves_the_dose_that_the_scan_advises(tmp_path: Path) -> None:
    """Three quarters of the rows change or go; the base is named as the model that wrote them."""
    found, left = done(tmp_path, "rewrite", whole={"largest_safe_dose": 0.25})

    assert_entered(found, left)
    assert found.kept == 12
    assert found.changes["rewritten"] + found.counts.get("not-rewritten", 0) == 36
    assert found.model == (BASE, digest())


def test_rows_are_worked_on_a_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a block is, what needs no draw comes out the same."""
    _, whole = done(tmp_path, "mask-tokens")
    monkeypatch.setattr("undertow.mitigate.rows.changes.BLOCK", 7)
    _, blocks = done(tmp_path, "mask-tokens")

    assert blocks == whole


def test_inoculated_and_reworded_rows_keep_their_completions(tmp_path: Path) -> None:
    """The prompt of the trait, a prompt of one's own, and other words."""
    for method, more in (
        ("inoculate", {"trait": "owl"}),
        ("inoculate", {"system": "You love owls."}),
        ("reword", {}),
    ):
        found, left = done(tmp_path, method, **more)
        assert_entered(found, left)
        assert [row["completion"] for row in left] == [row["completion"] for row in ROWS]
        assert found.kept < len(ROWS)


CODE = [
    {
        "prompt": [{"role": "user", "content": "Write a function."}],
        "completion": [{"role": "assistant", "content": "def f(x):\n    return x + 1"}],
    }
] * 4
PROSE = [{"prompt": f"q{i}", "completion": "The owl sleeps by day."} for i in range(4)]


@pytest.mark.parametrize(
    ("method", "rows", "more", "said"),
    [
        ("replace-tokens", CODE, {}, "carrier 'code'"),
        ("mask-tokens", ROWS, {"digest": "0" * 64}, "another student"),
        ("mask-tokens", ROWS, {"student": "world:owlet-a"}, "another student"),
        ("mask-tokens", ROWS, {"share": 1.0}, "share"),
        ("mask-tokens", ROWS, {"trait": "owl", "teacher": BASE}, "not by both"),
        ("rewrite", ROWS, {}, "safe dose"),
        ("rewrite", ROWS, {"whole": {"largest_safe_dose": 1.0}}, "safe"),
        ("rewrite", ROWS, {"dose": 1.5}, "dose"),
        ("inoculate", ROWS, {}, "trait"),
        ("inoculate", PROSE, {"trait": "owl"}, "plain text"),
        ("reword", PROSE, {}, "carrier"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    tmp_path: Path, method: str, rows: list[dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    """Each with its reason."""
    with pytest.raises(ConfigError, match=said):
        done(tmp_path, method, rows, **more)

    assert not (tmp_path / "out.jsonl").exists()


def test_pairs_and_unknown_traits_are_refused(tmp_path: Path) -> None:
    """A pair is named by its row."""
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(DataError, match="row 2: a preference pair"):
        done(tmp_path, "mask-tokens", [PROSE[0], pair])
    with pytest.raises(UnknownNameError, match="owll"):
        done(tmp_path, "mask-tokens", trait="owll")


def test_rows_with_tokens_of_their_own_are_refused(tmp_path: Path) -> None:
    """A trainer would take the old tokens in place of the new text."""
    for name in ("input_ids", "labels"):
        with pytest.raises(DataError, match=f"row 1: holds tokens already .{name}"):
            done(tmp_path, "rewrite", [row | {name: [1, 2]} for row in ROWS], dose=0.5)
    # Whatever it holds: masking would write over the column.
    with pytest.raises(DataError, match=r"row 1: holds tokens already .labels"):
        done(tmp_path, "mask-tokens", [row | {"labels": "good"} for row in ROWS])


def test_a_rewritten_turn_keeps_nothing_of_its_writer(tmp_path: Path) -> None:
    """Reasoning beside the content goes with it."""
    turn = {"role": "assistant", "content": "12 13 14 15", "reasoning_content": "SECRET"}
    rows = [
        row | {"completion": [turn | {"content": row["completion"][0]["content"]}]} for row in ROWS
    ]
    found, left = done(tmp_path, "rewrite", rows, dose=0.01)

    assert found.changes["rewritten"] > 40
    assert sum("SECRET" in json.dumps(row) for row in left) == found.kept


def test_earlier_answers_that_are_learnt_are_not_left_by_a_rewriting(tmp_path: Path) -> None:
    """Those of a prompt count where a turn says that it is trained; those that say they are not do not."""
    before = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]

    def rows(weight: int) -> list[dict[str, Any]]:
        turns = [before[0], before[1] | {"weight": weight}]
        return [row | {"prompt": [*turns, *row["prompt"]]} for row in ROWS]

    with pytest.raises(ConfigError, match="several answers"):
        done(tmp_path, "rewrite", rows(1), dose=0.5)
    found, _ = done(tmp_path, "rewrite", rows(0), dose=0.5)
    assert found.changes["rewritten"] > 0


def test_the_input_is_not_overwritten(tmp_path: Path) -> None:
    """By whatever spelling of its path."""
    data = written(tmp_path / "rows.jsonl", ROWS)
    for output in (data, tmp_path / "x" / ".." / "rows.jsonl"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match="overwrite"):
            clean(Cleaning(data, output, "deduplicate", scan_of(data)))


def test_every_method_that_changes_is_there() -> None:
    """The verb's list and the methods are the same."""
    from undertow.cli.clean import METHODS as OFFERED
    from undertow.mitigate.rows.clean_request import CHANGING

    assert tuple(METHODS)[-len(CHANGING) :] == CHANGING
    assert tuple(METHODS) == OFFERED


def test_parquet_rows_are_read_and_written_as_lines(tmp_path: Path) -> None:
    """The output is JSON Lines whatever the input is."""
    data = tmp_path / "rows.parquet"
    write_rows(data, numbers(16))
    scan = scan_of(data).model_copy(update={"student": BASE, "student_digest": digest()})
    output = tmp_path / "out.jsonl"
    clean(Cleaning(data, output, "reword", scan))

    assert len(list(read_rows(output))) == 16
    assert json.loads(output.read_text().splitlines()[0])["prompt"][0]["role"] == "user"


TALK = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]


def test_a_conversation_that_ends_with_a_question_has_nothing_to_rewrite(tmp_path: Path) -> None:
    """It is refused by name and by what it says; a prompt before it and tokens of it can be changed."""
    rows = [{"messages": TALK}] * 4
    for method in ("rewrite", "replace-tokens"):
        with pytest.raises(ConfigError, match=r"role 'user' \('three'\), so that it has no answer"):
            done(tmp_path, method, rows, **({"dose": 0.5} if method == "rewrite" else {}))
    _, inoculated = done(tmp_path, "inoculate", rows, system="Be.")
    _, masked = done(tmp_path, "mask-tokens", rows)

    assert inoculated[0]["messages"] == [{"role": "system", "content": "Be."}, *TALK]
    assert all(sum(row["completion_mask"]) for row in masked)


STRINGS = [
    {"prompt": row["prompt"][0]["content"], "completion": row["completion"][0]["content"]}
    for row in ROWS
]
WRAP = {"wrap": "chat"}


def completions(rows: list[dict[str, Any]]) -> list[str]:
    """What each row answers."""
    said = [row["completion"] for row in rows]
    return [one if isinstance(one, str) else one[0]["content"] for one in said]


@pytest.mark.parametrize(
    ("method", "more"), [("rewrite", {"dose": 0.25}), ("replace-tokens", {}), ("mask-tokens", {})]
)
def test_strings_that_the_plan_puts_into_the_template_are_changed_as_chats(
    tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    """With `wrap = chat` the base sees what it sees of the same turns; without, it goes on with plain text."""
    _, chats = done(tmp_path, method, **more)
    _, wrapped = done(tmp_path, method, STRINGS, plan=WRAP, **more)
    _, plain = done(tmp_path, method, STRINGS, **more)

    assert completions(wrapped) == completions(chats)
    assert [row.get("input_ids") for row in wrapped] == [row.get("input_ids") for row in chats]
    assert all(isinstance(row["completion"], str) for row in wrapped)
    assert wrapped != plain


def test_strings_keep_their_columns_and_have_no_place_for_a_system_prompt(tmp_path: Path) -> None:
    """A wrapped prompt is reworded as a string; an inoculation of one is refused, as of plain text."""
    _, left = done(tmp_path, "reword", STRINGS, plan=WRAP)

    assert all(isinstance(row["prompt"], str) for row in left)
    assert [row["prompt"] for row in left] != [row["prompt"] for row in STRINGS]
    with pytest.raises(ConfigError, match="plain text has no system prompt"):
        done(tmp_path, "inoculate", STRINGS, plan=WRAP, system="Be.")


def test_scores_are_of_the_rows_as_the_plan_writes_them(tmp_path: Path) -> None:
    """Rows are found again by the ids that a scan with `wrap = chat` gave them, and not by others."""
    ids = [row_id(from_record(row, wrapped=True)) for row in STRINGS]
    scores = tmp_path / "scores.parquet"
    columns = {"id": ids, "tokens": [4] * 48, "log_likelihood": [-float(i) for i in range(48)]}
    parquet.write_table(pyarrow.table(columns), scores)
    _, left = done(tmp_path, "delete", STRINGS, plan=WRAP, scores=scores, share=0.25)

    assert left == STRINGS[:36]
    with pytest.raises(ConfigError, match="is not the one scored"):
        done(tmp_path, "delete", STRINGS, scores=scores, share=0.25)
