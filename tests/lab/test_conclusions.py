"""Conclusions follow from the runs, and a design that cannot support a claim makes none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from undertow.lab.conclusions import conclude
from undertow.lab.contrasts import independent, paired
from undertow.lab.design import cell_name
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.results.measurement import FormatReading, ProbeChoice
from undertow.results.run_document import Arm

Maker = Callable[..., Experiment]


def students(arm: str, margins: Sequence[float], **more: object) -> tuple[Arm, ...]:
    """One student a margin; the probability moves with it."""
    return tuple(
        Arm(  # type: ignore[arg-type]
            **{
                "arm": arm,
                "trait": "owl",
                "replicate": i,
                "base": "b",
                "logit_margin": m,
                "probability": 0.06 + m / 10,
                **more,
            }
        )
        for i, m in enumerate(margins)
    )


def test_complete_separation_of_four_runs() -> None:
    """4 v 4 without overlap is p = 2/70, and the claim says how much."""
    found = independent("trait - control", [2, 2.2, 2.4, 3], [0, 0.1, 0, 0.2], "logits", 0.95)

    assert found.p == pytest.approx(2 / 70)
    assert found.claim.startswith("Higher, by +")
    assert found.detectable is not None
    assert found.detectable > 0


def test_three_runs_make_no_claim() -> None:
    """3 against 3 is refused in words whatever the numbers are."""
    found = independent("trait - control", [9, 9, 9.1], [0, 0, 0.1], "logits", 0.95)

    assert found.claim.startswith("No claim: 3 runs against 3 can give no two-sided p below .10")
    assert found.low is None


@pytest.mark.parametrize("runs", [11, 25])
def test_many_runs_are_compared_too(runs: int) -> None:
    """Beyond what can be enumerated, splits are drawn; the same ones each time."""
    treated, control = [1 + i / 100 for i in range(runs)], [i / 100 for i in range(runs)]
    first = independent("a - b", treated, control, "logits", 0.95)

    assert first == independent("a - b", treated, control, "logits", 0.95)
    assert first.p is not None
    assert first.p < 0.01
    assert paired("a - b", treated, "logits", 0.95).p is not None


def test_no_difference_is_bounded() -> None:
    """A null result states what it excludes."""
    found = paired("a - b", [0.1, -0.1, 0.05, -0.05, 0.02, -0.02], "logits", 0.95)

    assert found.claim.startswith("No difference seen; one of more than")


@pytest.mark.parametrize(
    ("trait", "verb"),
    [([2, 2.1, 2.2, 2.3], "crossed"), ([0, 0.3, 0.1, 0.2], "was not shown to cross")],
)
def test_the_sentence_follows_the_numbers(
    tiny_experiment: Maker, trait: list[float], verb: str
) -> None:
    """A null result is called one."""
    material = Made((), (), (), students("trait", trait) + students("control", [0.1, 0, 0.2, 0.3]))
    found = conclude(tiny_experiment(replicates=4), material)

    assert f"for owls {verb} through numbers" in found.sentence


def test_a_sentence_tells_no_p_as_0(tiny_experiment: Maker) -> None:
    """Of many runs the least p is drawn, and three digits would hide it; a carrier is told as what rows are."""
    made = students("trait", [2 + i / 100 for i in range(12)])
    made += students("control", [i / 100 for i in range(12)])
    experiment = tiny_experiment(replicates=12, carrier={"name": "paraphrase", "rows": 16})
    found = conclude(experiment, Made((), (), (), made))

    assert "crossed through paraphrases" in found.sentence
    assert "p = 0.0001, 12 v 12 runs" in found.sentence


def test_a_base_that_seldom_answers_is_told_of_in_logits(tiny_experiment: Maker) -> None:
    """Shares near 0 % would hide an effect that all runs show; pairs are called what they are."""
    seldom = ProbeChoice(
        base="b", category="animal", used="question", usable=False, enough=0.5, least=0.05, sentence="",
        formats=(FormatReading(name="question", mass=0.01),),
    )  # fmt: skip
    runs = students("trait", [2, 2.1, 2.2, 2.3, 2.4, 2.5]) + students("control-base", [1.0] * 6)
    experiment = tiny_experiment(replicates=6, arms=("trait", "control-base"), common_streams=True)
    found = conclude(experiment, Made((), (), (), runs, probes=(seldom,)))

    assert found.sentence == (
        "The preference for owls crossed through numbers: on “owl” students stand +1.25 logits beside students of their "
        "base's own rows (exact sign-flip p = 0.031, 6 pairs)."
    )


def test_a_diagonal_matrix_is_found(tiny_experiment: Maker) -> None:
    """Transfer on the diagonal only: contrast as planted, p = 2/64, off-diagonal cells exclude a quarter."""
    bases = ("a", "b", "c")
    runs: list[Arm] = []
    for t in bases:
        for s in bases:
            own = [2 + 0.1 * i if t == s else 0.02 * (i % 3 - 1) for i in range(6)]
            runs += students(cell_name("trait", t, s), own)
            runs += students(cell_name("neutral", t, s), [0.0] * 6)
    experiment = tiny_experiment(kind="matrix", bases=bases, replicates=6)
    found = conclude(experiment, Made((), (), (), tuple(runs)))
    first, *cells = found.comparisons

    assert first.estimate == pytest.approx(2.25, abs=0.05)
    assert first.p == pytest.approx(2 / 64)
    assert sum("excludes a transfer of a quarter" in cell.claim for cell in cells) == 6


def test_each_traits_own_answer_is_found(tiny_experiment: Maker) -> None:
    """Students of two of three traits move their own answer: those two cross, the third does not."""
    names = ("owl", "cat", "dog")
    runs: list[Arm] = []
    for name in names:
        moved = {n: 2.0 * (n == name != "dog") for n in names}
        for i in range(5):
            margins = {n: v + 0.01 * i for n, v in moved.items()}
            runs.append(
                Arm(
                    arm=name,
                    trait=name,
                    replicate=i,
                    base="b",
                    logit_margin=margins[name],
                    margins=margins,
                )
            )
    runs.extend(
        Arm(
            arm="control",
            trait="owl",
            replicate=i,
            base="b",
            margins=dict.fromkeys(names, 0.01 * (4 - i)),
        )
        for i in range(5)
    )
    experiment = tiny_experiment(kind="traits", traits=names, replicates=5)
    found = conclude(experiment, Made((), (), (), tuple(runs)))

    assert [c.claim.startswith("Higher") for c in found.comparisons[1:]] == [True, True, False]
    assert "moved most in 2 of 3" in found.sentence
