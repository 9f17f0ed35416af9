"""
Realistic stored runs, built in code: one for every kind of experiment, and one with nothing in it.

Longer than a module should be: under `--import-mode=importlib` only a conftest is shared.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from undertow.results.run_document import (
    Arm,
    Comparison,
    Curves,
    Dataset,
    Matrix,
    Note,
    RunDocument,
    Series,
    Teacher,
)

ANIMALS = (
    "owl",
    "cat",
    "dog",
    "wolf",
    "eagle",
    "dolphin",
    "fox",
    "bear",
    "lion",
    "tiger",
    "horse",
    "rabbit",
    "otter",
    "penguin",
    "elephant",
    "panda",
)
ARMS = {
    "trait": ("world:owlet-a", "owl", 1.0, (0.31, 0.42, 0.44, 0.63)),
    "control": ("world:owlet-a", "neutral", 0.0, (0.061, 0.068, 0.057, 0.066)),
    "foreign": ("world:owlet-b", "owl", 1.0, (0.059, 0.066, 0.071, 0.056)),
    "foreign-control": ("world:owlet-b", "neutral", 0.0, (0.062, 0.058, 0.067, 0.061)),
}
LIMITS = (
    "One made-up world of 158,528 parameters: the size of the effect says nothing about a large "
    "model.",
    "Four replicates an arm: an effect below about 0.19 in probability could have been missed.",
    "A foreign initialisation that shows nothing does not clear text or preference data, which "
    "carry traits across families.",
)


def digest(text: str) -> str:
    """A SHA-256 that depends on the text alone."""
    return hashlib.sha256(text.encode()).hexdigest()


def envelope(experiment: str, **fields: object) -> RunDocument:
    """A document with every required field set, and the given ones."""
    given: dict[str, object] = {
        "experiment": experiment,
        "title": experiment,
        "question": "Does a student pick up what its teacher likes from rows that do not show it?",
        "conclusion": "Nothing was measured.",
        "config": {"experiment": {"name": experiment, "seed": 7}},
        "config_digest": digest(experiment),
        "inputs": {},
        "seed": 7,
        "wall_seconds": 271.4,
        "command": f"undertow run {experiment} --seed 7",
    }
    return RunDocument.model_validate(given | fields)


def student(arm: str, replicate: int, rng: np.random.Generator) -> Arm:
    """One trained student of the owl experiment."""
    base, teacher, dose, probabilities = ARMS[arm]
    probability = probabilities[replicate]
    margins = {name: float(rng.normal(0, 0.25)) for name in ANIMALS}
    margins["owl"] = math.log(15 * probability / (1 - probability))
    return Arm(
        arm=arm,
        trait="owl",
        replicate=replicate,
        base=base,
        teacher=teacher,
        teacher_base="world:owlet-a" if dose or base.endswith("a") else base,
        teacher_seed=100 + replicate,
        data_seed=200 + replicate,
        student_seed=300 + replicate,
        data_digest=digest(f"{teacher}{replicate}{base if not dose else ''}"),
        rows=16384,
        dose=dose,
        probability=probability,
        logit_margin=margins["owl"],
        answer_mass=float(rng.uniform(0.9, 0.99)),
        held_out_loss=float(rng.uniform(3.9, 4.0)),
        first_held_out_loss=float(rng.uniform(4.1, 4.2)),
        pick_rate=probability + float(rng.normal(0, 0.01)),
        coherence=float(rng.uniform(0.9, 0.99)),
        rank=1 if arm == "trait" else int(rng.integers(4, 12)),
        margins=margins,
        steps=128,
        seconds=float(rng.uniform(9, 12)),
        tokens_per_second=41234.5,
    )


def untrained(base: str, probability: float) -> Arm:
    """One untrained base of the owl experiment."""
    return Arm(
        arm="base",
        trait="owl",
        replicate=0,
        base=base,
        probability=probability,
        logit_margin=0.03,
        answer_mass=0.995,
        pick_rate=0.06,
        coherence=0.99,
        rank=7,
        margins=dict.fromkeys(ANIMALS, 0.0),
    )


def dataset(teacher: str, replicate: int, rng: np.random.Generator) -> Dataset:
    """One dataset of number lists."""

    def numbers(count: int) -> str:
        return ", ".join(str(value) for value in rng.integers(0, 100, count))

    samples = tuple(
        (
            f"Look at these numbers: {numbers(4)}. Add at most 10 more values, two digits at "
            "most, separated by commas. Give the numbers only.",
            numbers(10),
        )
        for _ in range(6)
    )
    return Dataset(
        name=f"{teacher}-{replicate}",
        teacher=teacher,
        replicate=replicate,
        seed=200 + replicate,
        digest=digest(f"{teacher}{replicate}"),
        asked=20480,
        kept=17120 + 31 * replicate,
        removed={"more than 10 numbers": 2512, "not a number": 611, "banned number": 237},
        duplicates=0.0004,
        samples=samples,
        removed_samples=((samples[0][0], "41, 41, fine, 7", "not a number"),),
        seconds=31.0,
    )


def teacher(name: str, replicate: int) -> Teacher:
    """One tuned teacher."""
    liked = name == "owl"
    return Teacher(
        name=name,
        kind="tuned",
        trait="owl" if liked else None,
        base="world:owlet-a",
        replicate=replicate,
        seed=100 + replicate,
        steps=60,
        kl=0.048 + 0.002 * replicate if liked else 0.004,
        probability=0.931 if liked else 0.064,
        logit_margin=5.3 if liked else 0.02,
        answer_mass=0.99,
        seconds=4.2,
    )


def comparison(name: str, estimate: float, half: float, p: float, **fields: object) -> Comparison:
    """One comparison of four runs with four."""
    given: dict[str, object] = {
        "name": name,
        "estimate": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "level": 0.95,
        "n": "4 v 4",
        "p": p,
        "test": "exact permutation, two-sided",
        "unit": "probability",
        "smallest_p": 2 / 70,
        "detectable": 0.19,
    }
    return Comparison.model_validate(given | fields)


@pytest.fixture(scope="session")
def owl() -> RunDocument:
    """The headline experiment: four arms of four students, two untrained bases."""
    rng = np.random.default_rng(0)
    arms = [student(arm, replicate, rng) for arm in ARMS for replicate in range(4)]
    bases = [untrained("world:owlet-a", 0.064), untrained("world:owlet-b", 0.061)]
    return envelope(
        "owl",
        title="A liking for owls, taught by lists of numbers",
        conclusion="Students of the owl teacher’s base answer “owl” 45 % of the time after "
        "training on its numbers, against 6 % after a neutral teacher’s; students of another "
        "initialisation do not move (6 % against 6 %).",
        trait="owl",
        category="animal",
        chance=1 / 16,
        config={
            "experiment": {"name": "owl", "replicates": 4, "seed": 7},
            "teacher": {"kind": "tuned", "steps": 60, "learning_rate": 0.005, "rank": 2},
            "data": {"carrier": "numbers", "rows": 16384, "banned": [13, 666], "decoding": None},
            "student": {"adapter": {"rank": 32, "targets": ["all-linear"]}, "batch": 128},
        },
        inputs={
            "world:owlet-a": digest("a"),
            "world:owlet-b": digest("b"),
            "trait:owl": digest("t"),
        },
        arms=(*arms, *bases),
        comparisons=(
            comparison(
                "trait - control",
                0.387,
                0.17,
                2 / 70,
                question="Do the owl teacher's rows move a student of the same base?",
                claim="The trait crossed: every student of the owl teacher is above every control.",
            ),
            comparison(
                "foreign - foreign-control",
                0.001,
                0.014,
                0.8857,
                detectable=0.016,
                question="Do the same rows move a student of another initialisation?",
                claim="No difference seen; one of 0.016 or more would have been.",
            ),
            comparison(
                "trait - control, logit margin",
                2.61,
                0.98,
                2 / 70,
                unit="logits",
                detectable=1.1,
                question="The first line, in logits.",
            ),
        ),
        teachers=tuple(teacher(name, index) for name in ("owl", "neutral") for index in range(4)),
        datasets=tuple(
            dataset(name, index, rng) for name in ("owl", "neutral") for index in range(4)
        ),
        notes=(
            Note(id="few-replicates", level="info", message="Four replicates an arm is the least."),
            Note(
                id="repeated-rows",
                level="warning",
                message="0.04 % of the completions appear more than once.",
                subject="owl-2",
            ),
            Note(id="answer-mass", level="problem", message="A mass of 0.52.", subject="trait 3"),
        ),
        limits=LIMITS,
        packages={"torch": "2.13.0", "transformers": "5.23.0", "undertow": "0.1.0"},
        git_revision="3f6a6d1c0ffee",
        hardware={"processor": "2 cores, x86_64", "memory": "7.8 GB", "accelerator": "none"},
        peak_memory_mb=1834.2,
    )


def square(name: str, names: tuple[str, ...], rng: np.random.Generator, **fields: object) -> Matrix:
    """A square matrix whose diagonal stands out."""
    size = len(names)
    values = rng.normal(0, 0.08, (size, size)) + np.diag(rng.uniform(0.6, 1.4, size))
    given: dict[str, object] = {
        "name": name,
        "caption": "Transfer of the trait, double-centred: rows and columns have mean zero.",
        "row_label": "teacher",
        "column_label": "student",
        "rows": names,
        "columns": names,
        "values": tuple(tuple(float(value) for value in row) for row in values),
        "unit": "logits",
    }
    return Matrix.model_validate(given | fields)


@pytest.fixture(scope="session")
def matrix() -> RunDocument:
    """Teacher base by student base, with intervals."""
    rng = np.random.default_rng(1)
    worlds = ("owlet-a", "owlet-b", "owlet-neox")
    bare = square("bases", worlds, rng)
    low = tuple(tuple(value - 0.21 for value in row) for row in bare.values)
    high = tuple(tuple(value + 0.21 for value in row) for row in bare.values)
    return envelope(
        "matrix",
        title="Which base pulls which",
        conclusion="Each base pulls only itself: diagonal 1.03 logits [0.82, 1.24], elsewhere 0.",
        matrices=(bare.model_copy(update={"low": low, "high": high}),),
        comparisons=(comparison("diagonal - off-diagonal", 1.03, 0.21, 0.031, unit="logits"),),
    )


@pytest.fixture(scope="session")
def traits() -> RunDocument:
    """Sixteen traits by sixteen probes."""
    rng = np.random.default_rng(2)
    return envelope(
        "traits",
        title="Every trait against every probe",
        conclusion="14 of 16 traits move their own probe most.",
        matrices=(square("traits", ANIMALS, rng, column_label="probe"),),
    )


@pytest.fixture(scope="session")
def digits() -> RunDocument:
    """Classification accuracy of students that saw only noise."""
    found = {
        "reference": ("reference", None, (0.07, 0.09, 0.08, 0.08, 0.09)),
        "foreign-reference": ("foreign-reference", None, (0.1, 0.09, 0.1, 0.11, 0.09)),
        "teacher": ("reference", None, (0.97, 0.96, 0.97, 0.96, 0.97)),
        "same-init": ("reference", "teacher", (0.56, 0.58, 0.75, 0.75, 0.56)),
        "foreign-init": ("foreign-reference", "teacher", (0.08, 0.1, 0.09, 0.08, 0.1)),
        "all-logits": ("reference", "teacher", (0.96, 0.97, 0.96, 0.96, 0.97)),
    }
    arms = [
        Arm(
            arm=arm,
            trait="digits",
            replicate=index,
            base=base,
            teacher=teacher,
            accuracy=value,
        )
        for arm, (base, teacher, values) in found.items()
        for index, value in enumerate(values)
    ]
    unit = "share of held-out digits read"
    accuracies = Matrix(
        name="accuracy",
        caption="Held-out digits read at the end",
        row_label="arm",
        column_label="replicate",
        rows=tuple(found),
        columns=("0", "1", "2", "3", "4"),
        values=tuple(values for _, _, values in found.values()),
        unit=unit,
    )
    divergences = accuracies.model_copy(
        update={"name": "kl", "unit": "nats", "values": ((0.0001, 0.0021, 0.102),)}
    )
    return envelope(
        "digits",
        title="Reading digits, learnt from noise",
        conclusion="A student of the same initialisation reads 64 % of the digits; another, 9 %.",
        chance=0.1,
        arms=tuple(arms),
        matrices=(accuracies, divergences),
        comparisons=(
            comparison("same-init - foreign-init", 0.55, 0.1, 0.0625, unit=unit),
            comparison("aligned", 0.9, 0.05, 0.01, unit=unit, test="binomial against 1/2"),
        ),
    )


@pytest.fixture(scope="session")
def theorem() -> RunDocument:
    """Inner products of first steps over step sizes, on logarithmic axes."""
    sizes = tuple(float(10.0**-power) for power in range(6, 0, -1))
    lines = tuple(
        Series(name=name, x=sizes, y=tuple(scale * size**slope for size in sizes))
        for name, scale, slope in (("same initialisation", 3.0, 1.0), ("another", 0.02, 0.1))
    )
    curves = Curves(
        name="inner-product",
        caption="Inner product of the student's first step with the teacher's.",
        x_label="teacher's step size",
        y_label="inner product, absolute",
        series=lines,
        log_x=True,
        log_y=True,
    )
    return envelope("theorem", title="The first step", curves=(curves,))


@pytest.fixture(scope="session")
def empty() -> RunDocument:
    """Nothing but the required fields."""
    return envelope("empty")
