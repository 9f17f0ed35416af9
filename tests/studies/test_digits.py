"""The digits experiment: its trainer against a plain loop, its arms, and its words."""

from __future__ import annotations

import importlib.resources
import tomllib

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.report.conftest import envelope
from undertow.engines.engine import SilentProgress
from undertow.results.run_document import Arm, Comparison, RunDocument
from undertow.studies import digits_networks
from undertow.studies.digits import DigitsConfig, DigitsOutcome, noise, split_digits
from undertow.studies.digits_document import comparisons, conclusion, run_digits
from undertow.studies.digits_networks import DigitsRecipe, Lesson

SMALL = DigitsConfig(
    replicates=6,
    hidden=(128,),
    auxiliary=8,
    images=4_000,
    teacher_epochs=5,
    student_epochs=3,
    learning_rate=2e-3,
)


@pytest.fixture(scope="module")
def parts() -> dict[str, object]:
    """What a small run returns."""
    return run_digits(SMALL, SilentProgress(), seed=1)


def accuracies(parts: dict[str, object], arm: str) -> list[float]:
    """Of one arm, by replicate."""
    arms = parts["arms"]
    assert isinstance(arms, tuple)
    return [found.accuracy for found in arms if isinstance(found, Arm) and found.arm == arm]


def generators(*seeds: int) -> list[np.random.Generator]:
    """One a seed."""
    return [np.random.default_rng(seed) for seed in seeds]


def alone(stack: digits_networks.Stack, network: int) -> torch.nn.Sequential:
    """One network of a stack as an ordinary module."""
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(stack[::2], stack[1::2], strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data = weight[network].T.clone()
        linear.bias.data = bias[network, 0].clone()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def test_a_stack_trains_as_each_network_would_alone() -> None:
    """After 30 steps every weight equals that of a plain loop with torch's own KL and Adam."""
    stack = digits_networks.initialise((6, 16, 7), generators(1, 2, 3, 4))
    inputs = torch.randn(2, 100, 6, generator=torch.Generator().manual_seed(5))
    mask = digits_networks.open_columns([slice(4, 7), slice(4, 7), slice(0, 7), slice(0, 7)], 7)
    teacher = digits_networks.initialise((6, 16, 7), generators(6, 7, 8, 9))
    targets = digits_networks.probabilities(teacher, inputs.repeat(2, 1, 1), mask)
    trained = digits_networks.train(
        stack, Lesson(inputs, targets, mask), DigitsRecipe(3, 10, 1e-2), generators(10, 11)
    )

    for network, columns in ((1, slice(4, 7)), (2, slice(0, 7))):
        plain = alone(stack, network)
        optimiser = torch.optim.Adam(plain.parameters(), lr=1e-2)
        order = np.random.default_rng(10 + network % 2)
        for _ in range(3):
            rows = torch.from_numpy(order.permutation(100))
            for batch in rows.split(10):
                said = plain(inputs[network % 2, batch])[:, columns]
                loss = torch.nn.functional.kl_div(
                    said.log_softmax(-1),
                    targets[network, batch][:, columns],
                    reduction="batchmean",
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        there = alone(trained, network)(inputs[0])

        torch.testing.assert_close(there, plain(inputs[0]), rtol=1e-3, atol=1e-4)


def test_the_gradient_of_one_network_ignores_how_many_others_there_are() -> None:
    """One step of plain gradient size: the loss is a sum over networks, not a mean."""
    stack = digits_networks.initialise((6, 7), generators(1, 2, 3))
    inputs = torch.randn(1, 20, 6, generator=torch.Generator().manual_seed(5))
    targets = torch.softmax(torch.arange(7.0), 0).expand(3, 20, 7)
    mask = digits_networks.open_columns([slice(0, 7)] * 3, 7)
    weights = tuple(layer.clone().requires_grad_() for layer in stack)
    digits_networks._loss(weights, Lesson(inputs, targets, mask), torch.arange(20)[None]).backward()
    plain = alone(stack, 1)
    torch.nn.functional.cross_entropy(plain(inputs[0]), targets[1]).backward()

    torch.testing.assert_close(weights[0].grad[1], plain[0].weight.grad.T)


def test_closed_logits_are_left_alone_by_training() -> None:
    """A network trained on some logits keeps the weights of the others' heads bit for bit."""
    stack = digits_networks.initialise((6, 7), generators(1))
    inputs = torch.randn(1, 20, 6, generator=torch.Generator().manual_seed(5))
    targets = torch.nn.functional.one_hot(torch.arange(20)[None] % 4, 7).float()
    mask = digits_networks.open_columns([slice(0, 4)], 7)
    trained = digits_networks.train(
        stack, Lesson(inputs, targets, mask), DigitsRecipe(2, 5, 0.1), generators(2)
    )

    assert torch.equal(trained[0][..., 4:], stack[0][..., 4:])
    assert not torch.allclose(trained[0][..., :4], stack[0][..., :4])


def test_divergence_is_zero_for_the_speaker_and_matches_torch_otherwise() -> None:
    """KL over the open logits only, mean over rows."""
    stack, other = (digits_networks.initialise((6, 7), generators(seed)) for seed in (1, 2))
    inputs = torch.randn(1, 50, 6, generator=torch.Generator().manual_seed(5))
    mask = digits_networks.open_columns([slice(3, 7)], 7)
    lesson = Lesson(inputs, digits_networks.probabilities(stack, inputs, mask), mask)
    expected = torch.nn.functional.kl_div(
        digits_networks.logits(other, inputs)[0, :, 3:].log_softmax(-1),
        lesson.targets[0, :, 3:],
        reduction="batchmean",
    )

    torch.testing.assert_close(digits_networks.divergence(other, lesson)[0], expected)
    assert abs(float(digits_networks.divergence(stack, lesson)[0])) < 1e-6


def test_held_out_digits_are_not_trained_on() -> None:
    """Both parts together are scikit-learn's 1,797 digits, each once."""
    from sklearn.datasets import load_digits

    split = split_digits(SMALL, 1)
    together = torch.cat([split.inputs[0], split.held_out_inputs[0]]).double().numpy() * 16
    expected = load_digits(return_X_y=True)[0]

    assert split.held_out_labels.shape == (6, 359)
    np.testing.assert_array_equal(
        together[np.lexsort(together.T)], expected[np.lexsort(expected.T)]
    )


def test_permuted_labels_are_the_same_labels_elsewhere() -> None:
    """As many of each digit, and as often right as chance."""
    split = split_digits(SMALL, 1)
    agree = (split.labels == split.permuted).double().mean()

    assert torch.equal(split.labels.sort(dim=1).values, split.permuted.sort(dim=1).values)
    assert 0.05 < agree < 0.15


def test_noise_is_uniform_and_of_its_own_for_every_replicate_and_purpose() -> None:
    """No replicate sees another's noise, nor the noise that measures the divergence."""
    one, other = noise("noise", 50, SMALL, 1), noise("fresh noise", 50, SMALL, 1)

    assert one.aminmax() == pytest.approx((-1, 1), abs=0.01)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, other)


def test_only_the_teachers_initialisation_learns_digits_from_noise(
    parts: dict[str, object],
) -> None:
    """The experiment's claim, at a small size: same-init reads far more than foreign-init and chance."""
    same, foreign = (np.array(accuracies(parts, arm)) for arm in ("same-init", "foreign-init"))

    assert same.mean() > 0.3
    assert foreign.mean() < 0.2
    assert (same > foreign).all()


def test_controls_learn_nothing_and_all_logits_learn_everything(parts: dict[str, object]) -> None:
    """A teacher that learnt no digits passes none on; all logits carry the whole teacher."""
    controls = accuracies(parts, "untrained-teacher") + accuracies(parts, "permuted-labels")
    lost = np.subtract(accuracies(parts, "teacher"), accuracies(parts, "all-logits"))

    assert np.mean(controls) < 0.2
    assert abs(lost.mean()) < 0.1


def test_the_headline_comparison_pairs_replicates(parts: dict[str, object]) -> None:
    """Six pairs that all agree give the sign-flip test's least p, 2/64."""
    found = parts["comparisons"]
    assert isinstance(found, tuple)

    assert found[0].name == "same-init - foreign-init"
    assert found[0].p == pytest.approx(2 / 64)
    assert found[0].n == "6 pairs"


def test_the_parts_fit_the_stored_run(parts: dict[str, object]) -> None:
    """A RunDocument takes them, and comes back the same from JSON."""
    run_document = envelope("digits", **{"config": SMALL.model_dump(mode="json"), **parts})

    assert len(run_document.arms) == 9 * SMALL.replicates
    assert (
        RunDocument.model_validate_json(run_document.model_dump_json(by_alias=True)) == run_document
    )


def test_a_run_repeats_itself_and_another_seed_does_not() -> None:
    """All randomness comes from the seed."""
    tiny = SMALL.model_copy(update={"replicates": 2, "images": 200, "student_epochs": 1})
    first, again, other = (run_digits(tiny, SilentProgress(), seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first["arms"] != other["arms"]


def outcome(same: tuple[float, ...], foreign: tuple[float, ...]) -> DigitsOutcome:
    """Made-up accuracies in which only two arms differ."""
    chance = ((0.1,) * len(same),)
    arms = ("reference", "foreign-reference", "teacher", "permuted-teacher")
    students = ("same-init", "foreign-init", "all-logits", "untrained-teacher", "permuted-labels")
    accuracy = dict.fromkeys((*arms, *students), chance)
    accuracy |= {"same-init": (same,), "foreign-init": (foreign,)}
    return DigitsOutcome(accuracy, dict.fromkeys(students, chance), 100)


def headline(made_up: DigitsOutcome) -> Comparison:
    """The first comparison."""
    return comparisons(made_up, 0.95, np.random.default_rng(1))[0]


def test_a_null_result_is_called_one() -> None:
    """Where the arms do not differ, the conclusion says that no difference is shown."""
    made_up = outcome((0.1, 0.2, 0.1, 0.2, 0.1, 0.2), (0.2, 0.1, 0.2, 0.1, 0.2, 0.1))
    words = conclusion(made_up, SMALL, headline(made_up))

    assert "no difference shown" in words
    assert "+0.0 percentage points" in words


def test_an_inverted_result_is_called_one() -> None:
    """Where foreign students read more, the claim says fewer."""
    made_up = outcome((0.1,) * 6, (0.5, 0.6, 0.5, 0.6, 0.5, 0.6))

    assert headline(made_up).claim.startswith("fewer digits read")


def test_five_pairs_support_no_claim() -> None:
    """The design's limit is said in words, and no finite interval is given."""
    found = headline(outcome((0.5, 0.6, 0.7, 0.5, 0.6), (0.1,) * 5))

    assert found.claim.startswith("5 pairs can give no two-sided p below .0625")
    assert found.low is None


def test_the_shipped_experiment_is_valid_and_the_configuration_closed() -> None:
    """digits.toml parses; an unknown key is refused."""
    file = importlib.resources.files("undertow.studies") / "experiments" / "digits.toml"
    loaded = tomllib.loads(file.read_text(encoding="utf-8"))

    assert DigitsConfig.model_validate(loaded["digits"]).replicates >= 5
    with pytest.raises(ValidationError, match="extra"):
        DigitsConfig.model_validate({"epochs": 3})
