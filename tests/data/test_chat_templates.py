"""Chat templates that a plan gives: as text, in a file, or by a trainer's name for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.data.chat_templates import (
    LARGEST,
    axolotl_templates,
    llamafactory_templates,
    refuse_no_template,
    with_template,
    written_template,
)
from undertow.errors import ConfigError

TEXT = "{% for m in messages %}{{ m.content }}{% endfor %}"


def test_every_template_that_ships_is_one() -> None:
    """36 names of axolotl and 124 of LLaMA-Factory stand for text that Jinja can read."""
    axolotl, factory = axolotl_templates(), llamafactory_templates()
    for text in axolotl.values():
        refuse_no_template(text)
    for slots in factory.values():
        for thinking in (True, False, None):
            refuse_no_template(slots.jinja(thinking=thinking, last=True))

    assert (len(axolotl), len(factory)) == (36, 124)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chatml", "neither a template's text nor a file"),
        ("{% for m in messages %}", "line 1"),
        ("\n\n{{ 1 +* }}", "line 3"),
        ("{%- generation -%}{% endfor %}", "line 1"),
        ("{" * (LARGEST + 1), "at most"),
        ("{{ " + "(" * 5000 + " }}", "too deeply"),
    ],
)
def test_what_is_no_template_is_refused(text: str, told: str) -> None:
    """The line is named, and nothing of the text is run."""
    with pytest.raises(ValueError, match=told):
        refuse_no_template(text)


def test_marks_and_loop_controls_are_of_templates() -> None:
    """What transformers adds to Jinja is no fault."""
    refuse_no_template(
        "{%- for m in messages -%}{% if loop.first %}{% continue %}{% endif %}{% generation %}x{%- endgeneration -%}{% endfor %}"
    )


def test_a_file_beside_the_plan_is_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes before one where the command runs, which is taken where there is no other; a text is itself."""
    plans, here = tmp_path / "plans", tmp_path / "here"
    for folder, text in ((plans, TEXT), (here, "{{ 'here' }}")):
        folder.mkdir()
        (folder / "mine.jinja").write_text(text)
    (here / "other.j2").write_text("{{ 'other' }}")
    monkeypatch.chdir(here)

    assert written_template("mine.jinja", plans, "f") == TEXT
    assert written_template("other.j2", plans, "f") == "{{ 'other' }}"
    assert written_template(TEXT, plans, "f") == TEXT


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("none.jinja", "no such file: '.*none.jinja'"),
        ("/etc/hostname", "neither a template's text nor a file"),
        ("large.jinja", "allowed: at most"),
        ("bytes.jinja", "is not UTF-8"),
    ],
)
def test_a_file_that_holds_no_template_is_refused(tmp_path: Path, value: str, told: str) -> None:
    """Any file could be named: those with the name of a template are read, and no more of them than a template has."""
    (tmp_path / "large.jinja").write_text("{" * (LARGEST + 1))
    (tmp_path / "bytes.jinja").write_bytes(b"\xff{")

    with pytest.raises(ConfigError, match=told):
        written_template(value, tmp_path, "'plan.toml': key 'template'")


def test_only_the_key_of_a_template_is_replaced(tmp_path: Path) -> None:
    """What else a plan has stays, and a plan without a template is as it was."""
    (tmp_path / "mine.jinja").write_text(TEXT)

    assert with_template({"rank": 4}, tmp_path, "f") == {"rank": 4}
    assert with_template({"rank": 4, "template": "mine.jinja"}, tmp_path, "f") == {
        "rank": 4,
        "template": TEXT,
    }
