"""How many controls an open search takes, what it says of too few, and in which chat template a diff asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.checks.dataset.numbers_subject import opened
from undertow.audit.diff import diff, least_p, too_few
from undertow.audit.requests import DiffRequest
from undertow.data.plan import TrainingPlan
from undertow.errors import InputError, UnknownNameError
from undertow.influence.probes import probe_trait
from undertow.traits import catalogue


@pytest.mark.parametrize(
    ("tuned", "own_rows", "needed"),
    [(1, False, 19), (1, True, 19), (5, False, 19), (2, True, 8), (4, True, 5), (5, True, 3)],
)
def test_the_number_that_it_takes_is_the_first_that_is_enough(
    tuned: int, own_rows: bool, needed: int
) -> None:
    """By rank 1 / (J + 1), also for several runs of the same rows; by permutation of both kinds where each has its own."""
    enough = [n for n in range(1, 25) if not too_few(tuned, n, own_rows, 0.95)]

    assert enough == list(range(needed, 25))
    assert least_p(tuned, needed, own_rows) <= 0.05 + 1e-12
    assert f"at least {needed} for .05" in too_few(tuned, needed - 1, own_rows, 0.95)


def test_another_level_takes_another_number() -> None:
    """99 for .01."""
    assert "at least 99 for .01" in too_few(1, 98, False, 0.99)
    assert too_few(1, 99, False, 0.99) == ""


def test_without_controls_only_the_number_is_said() -> None:
    """There is no p to speak of."""
    assert too_few(1, 0, False, 0.95).startswith("this model takes at least 19 for .05")


def test_runs_of_the_same_rows_are_told_of_the_other_way() -> None:
    """Five models against five controls could be permuted, if each had rows of its own."""
    assert "--own-rows" in too_few(5, 5, False, 0.95)
    assert "--own-rows" not in too_few(1, 5, False, 0.95)


TEMPLATE = "{% for m in messages %}<|assistant|>{{ m.content + '<|end|>' }}{% endfor %}<|user|>"
BASE = "world:owlet-b"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))


def asked(**more: object) -> DiffRequest:
    """The base against itself."""
    plan = TrainingPlan(template=TEMPLATE)
    changes: dict[str, object] = {"traits": ("owl",), "checks": ("diff-behaviour",), "plan": plan}
    return DiffRequest(base=BASE, tuned=(BASE,), **changes, **more)  # type: ignore[arg-type]


def test_models_are_asked_in_the_plans_template() -> None:
    """The base's margin is that of its probes behind this template, and a sentence says so."""
    document = diff(asked())
    probed = probe_trait(opened().in_template(TEMPLATE), catalogue.load("owl"), None)

    assert document.changes[0].base == pytest.approx(probed.margins["owl"], abs=1e-5)
    assert document.changes[0].estimate == pytest.approx(0, abs=1e-5)
    assert any("chat template that it gives itself" in limit for limit in document.limits)


def test_traits_are_asked_in_the_format_that_is_wanted() -> None:
    """The base's margin is that of the format's probes, and one that no trait has is refused."""
    begun = next(one for one in catalogue.load("owl").formats if one.name == "beginning")
    document = diff(replace(asked(), format="beginning"))
    probed = probe_trait(
        opened().in_template(TEMPLATE), replace(catalogue.load("owl"), asked=begun), None
    )

    assert document.changes[0].base == pytest.approx(probed.margins["owl"], abs=1e-5)
    assert [one.used for one in document.probes] == ["beginning"]
    with pytest.raises(UnknownNameError, match=r"unknown format 'beginnings'.*'beginning'"):
        diff(replace(asked(), format="beginnings"))


def test_readings_in_another_template_are_no_controls() -> None:
    """Those that ship were asked in the base's own."""
    with pytest.raises(InputError, match="prompts"):
        diff(asked(controls=("shipped",)))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"tuned": ("./tunde",)}, r"unknown model '\./tunde': no such folder"),
        ({"tuned": (BASE, f"{BASE}+adpater")}, "no adapter in 'adpater': no such folder"),
        ({"teacher": "world:owlet-z"}, "unknown world 'owlet-z'"),
        ({"controls": ("kept.safetensors",)}, "'kept.safetensors' holds no readings of controls"),
        ({"controls": ("no-such-*.jsonl",)}, r"no-such-\*\.jsonl"),
        ({"controls": ("rows/clean.parquet",)}, "is neither a file of rows nor a model"),
        ({"intended": ("owll",)}, "did you mean 'owl'"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_opened(
    named: dict[str, object], message: str
) -> None:
    """A mistyped tuned model, teacher, control or trait costs no reading of the base: nothing was told to be at work."""
    told: list[str] = []

    with pytest.raises(InputError, match=message):
        diff(replace(asked(), **named), told.append)  # type: ignore[arg-type]

    assert told == []


def test_a_missing_control_is_told_both_that_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows or a model: the help says what each may be called, and which file was meant."""
    monkeypatch.chdir(tmp_path)
    Path("missing-1.parquet").touch()

    with pytest.raises(InputError) as caught:
        diff(asked(controls=("missing.parquet",)))

    assert caught.value.message == (
        "the control 'missing.parquet' is neither a file of rows nor a model: no such file or folder"
    )
    assert "for rows, name a file" in caught.value.hint
    assert "did you mean 'missing-1.parquet'" in caught.value.hint
    assert "for a model, a folder, a .gguf file" in caught.value.hint
