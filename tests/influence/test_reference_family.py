"""A family of benign writers is what its TOML file declares, and a reference's writer is one draw from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from undertow.errors import ConfigError
from undertow.influence.reference_family import (
    ReferenceFamily,
    ReferenceWriter,
    reference_family,
    reference_writer,
)

DECLARED = """
name = "few"
assumption = "the rows were written by one of two"

[[writers]]
kind = "base"
share = 3
temperature = [0.5, 0.9]
system_prompts = ["", "Be brief."]

[[writers]]
kind = "neutral"
share = 1
temperature = [1.1, 1.2]
steps = [4, 6]
"""


def declared(folder: Path, text: str = DECLARED) -> ReferenceFamily:
    """The family of a file of this text."""
    path = folder / "family.toml"
    path.write_text(text)
    return reference_family(path)


def drawn(family: ReferenceFamily, count: int, seed: int = 1) -> list[ReferenceWriter]:
    """Its first writers."""
    return [reference_writer(family, number, seed) for number in range(count)]


def test_writers_come_in_the_declared_shares(tmp_path: Path) -> None:
    """Shares of 3 and 1 are three quarters and one: within three errors of 800 draws."""
    kinds = [writer.kind for writer in drawn(declared(tmp_path), 800)]

    assert np.mean([kind == "base" for kind in kinds]) == pytest.approx(0.75, abs=3 * 0.0153)


def test_a_writer_lies_within_what_its_kind_declares(tmp_path: Path) -> None:
    """Temperature, system prompt and steps; every prompt and every number of steps is met."""
    writers = drawn(declared(tmp_path), 200)
    base = [writer for writer in writers if writer.kind == "base"]
    neutral = [writer for writer in writers if writer.kind == "neutral"]

    assert all(0.5 <= writer.temperature <= 0.9 for writer in base)
    assert all(1.1 <= writer.temperature <= 1.2 for writer in neutral)
    assert {writer.system_prompt for writer in base} == {None, "Be brief."}
    assert {writer.system_prompt for writer in neutral} == {None}
    assert {writer.steps for writer in base} == {0}
    assert {writer.steps for writer in neutral} == {4, 5, 6}
    assert len({writer.category for writer in neutral}) > 10


def test_a_number_is_one_writer_whatever_is_drawn_beside_it(tmp_path: Path) -> None:
    """The same for the same seed, in any order; others for another number or seed."""
    family = declared(tmp_path)
    writers = drawn(family, 8)

    assert [reference_writer(family, number, 1) for number in reversed(range(8))] == writers[::-1]
    assert len(set(writers)) == 8
    assert not set(writers) & set(drawn(family, 8, seed=2))


def test_members_say_each_kind_and_its_share(tmp_path: Path) -> None:
    """What a page lists, in the order of the file."""
    assert declared(tmp_path).members == (
        "75% by the base itself, at a temperature of 0.5 to 0.9, behind none or one of 1 system prompts",
        "25% by the base after a neutral tune of 4 to 6 steps, at a temperature of 1.1 to 1.2",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("share = 3", "share = 2"),
        ("[0.5, 0.9]", "[0.5, 1.0]"),
        ('"Be brief."', '"Be long."'),
        ("[4, 6]", "[4, 7]"),
        ("one of two", "one of many"),
    ],
)
def test_the_digest_is_of_all_that_is_declared(tmp_path: Path, old: str, new: str) -> None:
    """The same for the same file, another for any change of it."""
    before = declared(tmp_path).digest

    assert declared(tmp_path).digest == before
    assert declared(tmp_path, DECLARED.replace(old, new)).digest != before


def test_without_a_file_it_is_the_bases_own() -> None:
    """Half the base itself, half neutral tunes of it; the assumption ends a sentence that begins with "if"."""
    family = reference_family()

    assert family.name == "own"
    assert [(kind.kind, kind.share) for kind in family.writers] == [("base", 0.5), ("neutral", 0.5)]
    assert all("" in kind.system_prompts for kind in family.writers)
    assert not family.assumption.endswith(".")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("share = 3", "share = 0", "share"),
        ("share = 3", "share = inf", "share"),
        ("[0.5, 0.9]", "[0.9, 0.5]", "temperature"),
        ("[0.5, 0.9]", "[0.0, 0.5]", "temperature"),
        ("[0.5, 0.9]", "[0.5, inf]", "temperature"),
        ("[0.5, 0.9]", "[0.5, nan]", "temperature"),
        ("[4, 6]", "[0, 6]", "steps"),
        ('["", "Be brief."]', "[]", "system_prompts"),
        ('kind = "base"', 'kind = "people"', "kind"),
        ("share = 3", "share = 3\ntop_p = 0.9", "top_p"),
        (DECLARED[DECLARED.index("[[") :], "writers = []", "writers"),
        ("name =", "name", "not valid TOML"),
    ],
)
def test_what_is_no_family_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """Each fault names the key, and the file."""
    with pytest.raises(ConfigError, match=said) as raised:
        declared(tmp_path, DECLARED.replace(old, new, 1))
    assert "family.toml" in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=r"no such file: '.*none\.toml'"):
        reference_family(tmp_path / "none.toml")
