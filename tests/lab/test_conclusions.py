"""Conclusions follow from the runs, and a design that cannot support a claim makes none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from undertow.lab.conclusions import against_half, conclude
from undertow.lab.contrasts import holm_adjusted, independent, paired
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

    assert found.claim == (
        "No difference seen; a rise of more than 0.1 or a fall of more than 0.1 logits is excluded at 95 %."
    )


def test_what_holms_p_says_no_to_is_not_claimed() -> None:
    """Two of four runs against four, each apart by itself: neither claims a direction, and each says what its interval excludes."""
    apart = [independent(name, [2, 2.2, 2.4, 3], [0, 0.1, 0, 0.2], "logits", 0.95) for name in "ab"]
    first, second = holm_adjusted(apart)

    assert apart[0].claim.startswith("Higher, by")
    assert first.claim == second.claim
    assert first.claim == (
        "Not shown after Holm's correction over 2 comparisons (p = 0.057); a rise of more than "
        f"{first.high:.3g} logits is excluded at 95 %, taken by itself."
    )


def test_what_holds_after_holm_is_claimed_with_its_own_interval() -> None:
    """A claim names the tests that were corrected for; its interval is taken by itself."""
    runs = [2, 2.2, 2.4, 3, 2.1, 2.3], [0, 0.1, 0, 0.2, 0.1, 0]
    found, _ = holm_adjusted([independent(name, *runs, "logits", 0.95) for name in "ab"])

    assert found.claim.startswith(
        "Higher after Holm's correction over 2 comparisons (p = 0.004); taken by itself by +"
    )


def test_a_filter_is_told_from_chance_by_holms_p() -> None:
    """Six replicates are enough for one test of a filter and not for two."""
    shares = [0.6, 0.61, 0.62, 0.63, 0.64, 0.65]
    one = against_half("words: AUROC of a row", shares, 0.95, "")
    first, _ = holm_adjusted([one, one])

    assert one.claim == "Above chance."
    assert first.claim.startswith("Not told from chance after Holm's correction over 2 comparisons")
    assert "an AUROC of more than 0.6" in first.claim


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


PICKED = ("preferences", "preferences-by-lot", "preferences-control")


def test_a_sentence_says_which_controls_fail_after_holm(tiny_experiment: Maker) -> None:
    """Of picked pairs beside two controls one holds; the other is null, and says what is excluded."""
    near = [0.4, 0.5, 0.6, 1.7, 1.35, 1.6]
    margins = ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [0, 0.1, 0.2, 0.3, 0.1, 0], near)
    runs = [run for arm, own in zip(PICKED, margins, strict=True) for run in students(arm, own)]
    experiment = tiny_experiment(replicates=6, arms=PICKED)
    by_lot, control, *_ = conclude(experiment, Made((), (), (), tuple(runs))).sentence.split(". ")

    assert "by lot: +1.13 logits, shown (p = 0.002, by Holm 0.004)" in by_lot
    assert "neutral teacher's: " in control
    assert ", not shown (p = " in control
    assert " logits is excluded" in control


@pytest.mark.parametrize(
    ("foreign", "verb"),
    [
        ([0.1, 0, 0.2, 0.3, 0.1, 0.2], "The rows did not measurably move"),
        ([2.0, 2.1, 2.2, 2.3, 2.2, 2.1], "The rows also moved"),
    ],
)
def test_both_initialisations_are_told_by_holms_p(
    tiny_experiment: Maker, foreign: list[float], verb: str
) -> None:
    """Six runs an arm are enough for two tests."""
    made = students("trait", [2, 2.1, 2.2, 2.3, 2.4, 2.5]) + students(
        "control", [0.1, 0, 0.2, 0.3, 0.1, 0]
    )
    made += students("foreign", foreign) + students("foreign-control", [0.1, 0, 0.2, 0.3, 0.1, 0])
    arms = ("trait", "control", "foreign", "foreign-control")
    experiment = tiny_experiment(replicates=6, arms=arms, foreign="world:owlet-a")
    sentence = conclude(experiment, Made((), (), (), made)).sentence

    assert "crossed through numbers: " in sentence
    assert verb in sentence
    assert ", by Holm 0.00" in sentence


def test_what_holds_by_itself_alone_is_told_so(tiny_experiment: Maker) -> None:
    """Four runs against four cannot hold beside a second test."""
    made = students("trait", [2, 2.1, 2.2, 2.3]) + students("control", [0.1, 0, 0.2, 0.3])
    made += students("foreign", [1, 1.1, 1.2, 1.3])
    made += students("foreign-control", [0.1, 0, 0.2, 0.3])
    arms = ("trait", "control", "foreign", "foreign-control")
    experiment = tiny_experiment(replicates=4, arms=arms, foreign="world:owlet-a")
    sentence = conclude(experiment, Made((), (), (), made)).sentence

    assert "crossed through numbers taken by itself, but not after Holm's correction: " in sentence
    assert (
        "Taken by itself, but not after Holm's correction, the rows also moved students" in sentence
    )


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
