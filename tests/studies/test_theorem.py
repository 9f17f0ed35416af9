"""The theorem experiment: its quantities against independent computations, its statements, its words."""

from __future__ import annotations

import dataclasses
import importlib.resources
import tomllib

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import binomtest

from tests.report.conftest import envelope
from undertow.engines.engine import SilentProgress
from undertow.results.run_document import RunDocument
from undertow.studies import theorem_steps
from undertow.studies.theorem import Findings, measure
from undertow.studies.theorem_document import coin_p, comparisons, conclusion, run_theorem
from undertow.studies.theorem_figures import deviation
from undertow.studies.theorem_networks import (
    SETTINGS,
    SettingName,
    TheoremConfig,
    attention_model,
    setting,
)
from undertow.studies.theorem_steps import TheoremProblem

SMALL = TheoremConfig(
    replicates=50,
    step_sizes=(1e-2, 1e-3, 1e-5),
    steps=(1, 3),
    draws=(1, 64),
    inputs=6,
    hidden=8,
    classes=4,
    rows=16,
    batches=(1, 2),
)


def problem(
    name: SettingName, config: TheoremConfig = SMALL, replicates: int = 5
) -> TheoremProblem:
    """A few replicates of a setting."""
    generators = [np.random.default_rng([1, r]) for r in range(replicates)]
    return theorem_steps.draw_problem(setting(name, config), generators)


@pytest.fixture(scope="module")
def findings() -> dict[str, Findings]:
    """All measurements of a small run, by setting."""
    return {name: measure(name, SMALL, 1, advance=lambda: None) for name in SETTINGS}


@pytest.mark.parametrize("name", SETTINGS)
def test_from_one_initialisation_the_step_follows_the_teachers(
    findings: dict[str, Findings], name: SettingName
) -> None:
    """Positive inner product and lower teacher's loss in every replicate, as the theorem says."""
    first = findings[name].first

    assert (first.inner["same-init"][1:] > 0).all()
    assert (first.loss_change["same-init"][SMALL.rates.index(1.0)] < 0).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_inner_product_over_the_step_size_converges_to_the_quadratic_form(
    findings: dict[str, Findings], name: SettingName
) -> None:
    """Within 1e-3 at the smallest step, and ten times nearer for a step ten times smaller."""
    far = deviation(findings[name], SMALL)

    assert far[-1].max() < 1e-3
    assert np.median(far[0] / far[1]) == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("name", SETTINGS)
def test_from_another_initialisation_the_step_hardly_depends_on_the_teachers(
    findings: dict[str, Findings], name: SettingName
) -> None:
    """The inner product does not shrink with the step size, has either sign, and misses the lemma."""
    products = findings[name].first.inner["foreign-init"]
    missed = np.abs(products[-1] / SMALL.step_sizes[-1] / findings[name].first.quadratic - 1)

    np.testing.assert_allclose(products[-1], products[1], atol=0.05 * np.abs(products[1]).max())
    assert 0.2 < (products[-1] > 0).mean() < 0.8
    assert np.median(missed) > 10


@pytest.mark.parametrize("name", SETTINGS)
def test_the_quadratic_form_agrees_with_a_dense_computation(name: SettingName) -> None:
    """Explicit Jacobians and explicit curvature matrices, one replicate and one row at a time."""
    drawn = problem(name, replicates=2)
    direction = -theorem_steps.teacher_gradient(drawn, drawn.reference)
    found = theorem_steps.quadratic_form(drawn, direction)
    network, columns = drawn.setting.network, drawn.setting.distilled
    expected = []
    for vector, noise, along in zip(drawn.reference, drawn.noise, direction, strict=True):
        jacobian = torch.func.jacrev(lambda v, x=noise: network.logits(v, x)[:, columns])(vector)
        p = network.logits(vector, noise)[:, columns].softmax(-1)
        curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        if name == "squared-error":
            curvature = torch.eye(p.shape[1], dtype=p.dtype).expand_as(curvature)
        moved = jacobian @ along
        expected.append(torch.einsum("ri,rij,rj->r", moved, curvature, moved).mean())

    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_agree_with_finite_differences(name: SettingName) -> None:
    """The teacher's gradient, replicate by replicate, along a random direction."""
    drawn = problem(name)
    along = torch.from_numpy(np.random.default_rng(2).standard_normal(drawn.reference.shape))
    ahead, behind = (
        theorem_steps.teacher_loss(drawn, drawn.reference + sign * 1e-5 * along) for sign in (1, -1)
    )
    slope = theorem_steps.inner(theorem_steps.teacher_gradient(drawn, drawn.reference), along)

    torch.testing.assert_close((ahead - behind) / 2e-5, slope, rtol=1e-5, atol=1e-8)


def test_the_students_gradient_is_that_of_torchs_own_loss() -> None:
    """Cross-entropy to soft labels over the auxiliary logits only, by plain autograd."""
    drawn = problem("auxiliary-logits")
    said = theorem_steps.labels(drawn, drawn.foreign)
    vector = drawn.reference[3].clone().requires_grad_()
    logits = drawn.setting.network.logits(vector, drawn.noise[3])[:, SMALL.classes :]
    torch.nn.functional.cross_entropy(logits, said[3]).backward()
    found = theorem_steps.student_gradient(drawn, drawn.reference, said)

    assert vector.grad is not None
    torch.testing.assert_close(found[3], vector.grad)


def test_shared_logits_teach_any_initialisation_and_auxiliary_ones_do_not(
    findings: dict[str, Findings],
) -> None:
    """Against a student of the unmoved teacher: all foreign students gain, or about half do."""
    rate = SMALL.rates.index(1.0)
    gains = {
        name: (found.first.loss_gap["foreign-init"][rate] < 0).mean()
        for name, found in findings.items()
    }

    assert gains["cross-entropy"] > 0.95
    assert 0.2 < gains["auxiliary-logits"] < 0.8


def test_adams_first_step_is_torchs() -> None:
    """The direction used for one step times the rate is what torch.optim.Adam does."""
    start = torch.zeros(2, 3, dtype=torch.float64)
    gradient = torch.tensor([[1e-9, -2.0, 0.5], [0.0, 1e-8, -1e-3]], dtype=torch.float64)
    there = theorem_steps.descend(start, lambda vectors, step: gradient, "adam", 0.1, 1)

    torch.testing.assert_close(there, 0.1 * theorem_steps.first_step(gradient, "adam"))


def test_adam_can_oppose_the_teacher_where_gradient_descent_cannot() -> None:
    """With one input in the student's batch some of Adam's first steps have a negative product."""
    config = SMALL.model_copy(update={"rows": 8, "batches": (1,), "replicates": 200})
    found = measure("auxiliary-logits", config, 1, advance=lambda: None)

    assert (found.batches["sgd"] > 0).all()
    assert (found.batches["adam"] < 0).any()


def test_sampled_labels_keep_the_mean_and_have_the_predicted_variance() -> None:
    """Over many samplings of one problem: mean of soft labels, variance Q / number of labels."""
    drawn = problem("cross-entropy", replicates=1)
    many = dataclasses.replace(
        drawn,
        **{
            field.name: getattr(drawn, field.name).repeat_interleave(2_000, dim=0)
            for field in dataclasses.fields(drawn)
            if field.name != "setting"
        },
    )
    generators = [np.random.default_rng([3, r]) for r in range(2_000)]
    products = theorem_steps.sampled_inner(many, 0.01, 4, generators)
    direction = -theorem_steps.teacher_gradient(drawn, drawn.reference)
    expected = theorem_steps.quadratic_form(drawn, direction) / (4 * SMALL.rows)

    assert products.var() == pytest.approx(float(expected), rel=0.15)
    assert abs(products.mean() - 0.01 * 4 * SMALL.rows * expected) < 4 * (expected / 2_000) ** 0.5


def test_the_attention_model_cannot_see_the_future() -> None:
    """Another last token leaves the logits of all positions before it as they were."""
    network = attention_model(5, 4, 8)
    vector = torch.from_numpy(network.initialise(np.random.default_rng(1)))
    tokens = torch.eye(5, dtype=torch.float64)[torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]])]
    one, other = network.logits(vector, tokens).view(2, 4, 5)

    torch.testing.assert_close(one[:3], other[:3])
    assert not torch.allclose(one[3], other[3])


def test_students_of_an_untrained_teacher_from_its_initialisation_stay_there() -> None:
    """So the loss gap of a student that shares the initialisation is its own change of loss."""
    drawn = problem("auxiliary-logits")
    said = theorem_steps.labels(drawn, drawn.reference)
    gradient = theorem_steps.student_gradient(drawn, drawn.reference, said)

    assert gradient.abs().max() < 1e-15


@pytest.mark.parametrize(("number", "n"), [(0, 6), (3, 6), (40, 50), (700, 1_300)])
def test_the_coin_test_agrees_with_scipy(number: int, n: int) -> None:
    """Two-sided exact binomial test against one half, at sizes where floats would overflow too."""
    assert coin_p(number, n) == pytest.approx(binomtest(number, n).pvalue)


def test_a_theorem_that_fails_is_reported_as_such(findings: dict[str, Findings]) -> None:
    """With the signs turned, neither the conclusion nor the claim says that it held."""
    found = findings["cross-entropy"]
    turned = dataclasses.replace(
        found,
        first=dataclasses.replace(
            found.first, inner={init: -values for init, values in found.first.inner.items()}
        ),
    )

    assert "The theorem held" in conclusion([found], SMALL)
    assert "did not show in every replicate" in conclusion([turned], SMALL)
    assert comparisons([turned], SMALL)[0].claim == "less often than a coin"


def test_the_parts_fit_the_stored_run() -> None:
    """A RunDocument takes them, comes back the same from JSON, and a second run is equal."""
    tiny = SMALL.model_copy(update={"replicates": 3})
    parts, again = (run_theorem(tiny, SilentProgress(), seed=1) for _ in range(2))
    document = envelope("theorem", **parts)

    assert RunDocument.model_validate_json(document.model_dump_json(by_alias=True)) == document
    assert parts == again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.5}, "one of step_sizes"),
        ({"rates": (0.1, 10.0)}, "must contain 1"),
        ({"steps": (4, 1)}, "rise"),
        ({"step_sizes": (1e-3, 1e-2)}, "fall"),
        ({"batches": (1, 100)}, "at most rows"),
        ({"settings": ("attention", "attention")}, "twice"),
        ({"epochs": 3}, "extra"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(
    change: dict[str, object], message: str
) -> None:
    """Each fault is named."""
    with pytest.raises(ValidationError, match=message):
        TheoremConfig.model_validate(SMALL.model_dump() | change)


def test_the_shipped_experiment_is_valid() -> None:
    """theorem.toml parses, and covers every setting over at least 50 replicates."""
    file = importlib.resources.files("undertow.studies") / "experiments" / "theorem.toml"
    config = TheoremConfig.model_validate(tomllib.loads(file.read_text("utf-8"))["theorem"])

    assert set(config.settings) == set(SETTINGS)
    assert config.replicates >= 50
