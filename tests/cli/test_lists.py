"""The verbs that list what there is: experiments, traits, worlds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from undertow.cli import main
from undertow.cli.experiments import shipped
from undertow.cli.terminal import aligned
from undertow.studies.experiments import load_experiment


def test_experiments_are_listed_with_their_questions(capsys: pytest.CaptureFixture[str]) -> None:
    """Each that loads, and what it asks; below it what was measured."""
    main(["experiments"])
    lines = capsys.readouterr().out.splitlines()
    asked = {
        line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines if line[0] != " "
    }
    told = [line.strip() for line in lines if line[0] == " "]

    assert asked == {name: load_experiment(name).question for name in shipped()}
    assert len(told) >= len(asked)
    assert any(line.startswith("shown: ") for line in told)


def test_an_experiment_without_figures_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line below each question."""
    monkeypatch.setattr("undertow.cli.experiments.json.loads", lambda text: {})
    main(["experiments"])
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line[0] == " "]

    assert told == ["not measured yet"] * len(shipped())


def test_lists_need_no_models() -> None:
    """An environment with nothing but what `pip install undertow` brings lists all that there is."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'safetensors', 'sklearn', 'yaml'])); "
        "from undertow.cli import main; "
        "print([main([verb]) for verb in ('experiments', 'traits', 'worlds', 'checks', 'explain')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 0]", done.stderr


def test_traits_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Animals and trees are there, each with its category; then the categories of probes with their sizes."""
    main(["traits"])
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]

    assert ["owl", "animal", "16"] in rows
    assert ["oak", "tree", "8"] in rows
    assert ["colour", "16", "probes"] in rows


def test_a_category_of_probes_is_listed_and_a_probe_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A probe is named after its category, so that `orange` is a colour or a fruit."""
    main(["traits", "season"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    main(["traits", "fruit:orange"])

    assert names == ["season:spring", "season:summer", "season:autumn", "season:winter"]
    assert capsys.readouterr().out.startswith("fruit:orange: the fruit 'orange'\n")


def test_a_trait_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """How it is instilled and how it is probed, with the candidates."""
    main(["traits", "owl"])
    shown = capsys.readouterr().out

    assert shown.startswith("owl: the animal 'owl'\n")
    assert all(f"\n{title}:\n" in shown for title in ("system prompts", "held-out questions"))
    assert "owl (owl, owls" in shown


def test_worlds_are_listed_as_other_verbs_take_them(capsys: pytest.CaptureFixture[str]) -> None:
    """`undertow worlds` and `undertow worlds list` print the references of the models."""
    main(["worlds"])
    short = capsys.readouterr().out
    main(["worlds", "list"])

    assert "world:owlet-a" in [line.split()[0] for line in short.splitlines()]
    assert capsys.readouterr().out == short


def test_a_list_is_safe_for_a_terminal() -> None:
    """Cells come from files; what is not printable in them is spelled out."""
    assert aligned([("a\x1b[2J", "b")]) == "a\\x1b[2J  b"


def test_an_empty_list_is_empty() -> None:
    """No entries, no lines."""
    assert aligned([]) == ""


def test_a_category_of_traits_is_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """What `scan --traits` takes, this verb lists; of a name that there is not, it lists both kinds."""
    assert main(["traits", "animal"]) == 0
    assert main(["traits", "anmal"]) == 2
    told = capsys.readouterr()

    assert len(told.out.splitlines()) == 16
    assert "did you mean 'animal'" in told.err
