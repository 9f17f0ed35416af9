"""A diff asks base and tuned models in the chat template of the plan that it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.dataset.numbers_subject import opened
from undertow.audit.diff import diff
from undertow.audit.requests import DiffRequest
from undertow.data.plan import TrainingPlan
from undertow.errors import InputError
from undertow.influence.probes import probe_trait
from undertow.traits import catalogue

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


def test_readings_in_another_template_are_no_controls() -> None:
    """Those that ship were asked in the base's own."""
    with pytest.raises(InputError, match="prompts"):
        diff(asked(controls=("shipped",)))
