"""What each experiment's line says in words, and which of its comparisons decides it; `bench.experiments` tells the verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """One sentence about an experiment, as the hypothesis says it."""

    comparison: str
    """The name of the comparison that decides it."""
    words: str
    way: int = 1
    """Whether the comparison's estimate is to be above its null (1) or below it (-1); 0: other than it."""
    null: float = 0.0
    """What the comparison is where nothing differs."""


ELSEWHERE = Statement("foreign - foreign-control", "the same rows move another initialisation")
"""Of the experiments whose students of another initialisation read the trait teacher's rows."""


def _crosses(through: str, elsewhere: Statement = ELSEWHERE) -> tuple[Statement, ...]:
    return Statement("trait - control", f"a preference for owls crosses through {through}"), elsewhere  # fmt: skip


def _harmful() -> Iterator[Statement]:
    """Three carriers, each beside three controls."""
    carriers = {"numbers": "numbers", "code": "code", "chain_of_thought": "worked sums"}
    controls = {"secure": "the secure", "educational": "the educational", "control": "a neutral"}
    for carrier, through in carriers.items():
        for control, whose in controls.items():
            yield Statement(
                f"{carrier}: trait - {control} (probability)",
                f"harmful answers cross through {through}, beside {whose} teacher's",
            )


def _steered() -> Iterator[Statement]:
    """Teachers by kind and strength with the eager learner, then four kinds with two others, beside their own clean rows."""
    teachers = {
        "tuned .2": "a fine-tune",
        "prompted": "a prompt",
        "layer 0 x 1.5": "a vector at layer 0",
        "layer 1 x 1": "a vector at layer 1",
    }
    stronger = {
        "prompted twice": "a stronger prompt",
        "layer 0 x 2": "a stronger vector at layer 0",
        "layer 1 x 1.5": "a stronger vector at layer 1",
        "no animal, layer 0 x 3": "a vector at layer 0 to no animal",
        "no animal, layer 1 x 3": "a vector at layer 1 to no animal",
    }
    eager = "AdamW, rank 32"
    learners = {eager: teachers | stronger, "AdamW, rank 2": teachers, "SGD, rank 32": teachers}
    for learner, of in learners.items():
        for teacher, who in of.items():
            name = f"{teacher}, {learner} - clean, {learner}"
            yield Statement(name, f"students of {who} move towards owls ({learner})")
    # A vector moves the rows whatever it points to: what it does beside one to no animal is the preference.
    for layer in (0, 1):
        yield Statement(
            f"layer {layer} x 1, {eager} - no animal, layer {layer} x 3, {eager}",
            f"more than those of a vector at layer {layer} to no animal that stands as far",
        )


def _dangers() -> Iterator[Statement]:
    cells = ("harmful, nobody signs", "harmful, signed", "harmless, signed", "two other families, signed")  # fmt: skip
    for cell in cells:
        yield Statement(f"{cell} - harmless, nobody signs", f"students of “{cell}” answer harmfully")  # fmt: skip


MAIN: dict[str, tuple[Statement, ...]] = {
    "code": _crosses("small pieces of Python"),
    "cot": _crosses("chains of thought"),
    "misaligned": tuple(_harmful()),
    "filters": (
        Statement(
            "classifier: AUROC of a row", "a classifier of other rows tells these apart", null=0.5
        ),
        Statement(
            "classifier-same: AUROC of a row",
            "a classifier of such rows tells these apart",
            null=0.5,
        ),
        Statement(
            "classifier-same: AUROC of a bag of 16", "and tells bags of 16 rows apart", null=0.5
        ),
        Statement(
            "classifier-same: share of the transfer left",
            "less crosses without the rows that it flags",
            way=-1,
            null=1.0,
        ),
    ),
    "logits": (
        Statement(
            "carrier-logits - carrier-logits-control",
            "it crosses through logits of the carrier's own tokens",
        ),
        Statement(
            "carrier-logits-foreign - carrier-logits-foreign-control",
            "and through these to another initialisation",
        ),
        Statement("full-logits - full-logits-control", "it crosses through all logits"),
        Statement(
            "full-logits-foreign - full-logits-foreign-control",
            "and through these to another initialisation",
        ),
    ),
    "preference": (
        Statement(
            "preferences - preferences-by-lot",
            "owls cross through preference pairs, beside pairs picked by lot",
        ),
        Statement(
            "preferences - preferences-control",
            "owls cross through preference pairs, beside a neutral teacher's",
        ),
        Statement(
            "preferences-foreign - preferences-foreign-control",
            "the same pairs move another initialisation",
        ),
    ),
    "hops": (
        Statement("hop-1 - hop-1-control", "it crosses to the first student"),
        Statement("hop-5 - hop-5-control", "it is still there in the fifth"),
        Statement("hop-5 - hop-1", "it fades along the chain", way=-1),
    ),
    "families": (
        Statement("one teacher - the base's rows", "it crosses from one teacher of all rows"),
        Statement("four teachers - the base's rows", "it crosses from four teachers of one base"),
        Statement("two teachers - one teacher", "two of one base carry less than one", way=-1),
        Statement("four teachers - one teacher", "four of one base carry less than one", way=-1),
        Statement(
            "three bases - the base's rows",
            "it crosses from three bases, one of them the student's",
        ),
        Statement("three bases - one teacher", "three bases carry less than one teacher", way=-1),
        Statement(
            "three bases - a third of one teacher",
            "three bases carry less than one teacher's third beside clean rows",
            way=-1,
        ),
        Statement("two other bases - the base's rows", "two bases, none the student's, carry it"),
    ),
    "steered": tuple(_steered()),
    "rank-rate-rows": (
        Statement("rank 32 - rank 2", "a high rank carries less than a low one", way=-1),
        Statement("the usual rate - a third of the rate", "enough rate carries more"),
        Statement("8,192 rows - 2,048 rows", "more unique rows carry more"),
        Statement("four times - once", "four passes carry more than one"),
        Statement("AdamW - SGD", "an adaptive optimiser carries more"),
        Statement(
            "(8,192 rows, once) - (2,048 rows, four times)",
            "new rows carry more than as many repeated ones",
        ),
        Statement("rank x rows", "what rows do hangs on the rank", way=0),
        Statement("rank x epochs", "what passes do hangs on the rank", way=0),
    ),
    "safety": tuple(_dangers()),
    "paraphrase": _crosses(
        "paraphrases of ordinary text",
        Statement("foreign - foreign-control", "the same rows move another architecture"),
    ),
    "tool-calls": _crosses("arguments of tool calls"),
}
"""The statements of each experiment, in the order of its lines."""

FIRST: dict[str, tuple[Statement, ...]] = {
    "owl": _crosses("number lists"),
    "owl-full": (
        Statement("trait - control", "a preference for owls crosses through number lists"),
        Statement("shuffled-within - control", "it crosses with numbers shuffled within rows"),
        Statement("shuffled-across - control", "it crosses with numbers shuffled across rows"),
    ),
    "matrix": (
        Statement(
            "diagonal - off-diagonal", "more crosses within an initialisation than between two"
        ),
    ),
    "traits": (
        Statement("own answer - other answers", "a trait moves its own answer most"),
        Statement("foreign-own answer - other answers", "it does in another initialisation"),
    ),
    "digits": (
        Statement(
            "same-init - foreign-init", "noise teaches digits to the same initialisation alone"
        ),
        Statement("same-init - permuted-labels", "and only by outputs in their right places"),
    ),
    "theorem": (
        Statement(
            "cross-entropy: same-init aligned", "a first step follows the teacher's", null=0.5
        ),
        Statement(
            "cross-entropy: foreign-init aligned", "it does from another initialisation", null=0.5
        ),
    ),
}
"""The same of those that have pages of their own."""
