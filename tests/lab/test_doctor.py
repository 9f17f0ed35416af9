"""The doctor sees each trap that it claims to see, those of chat templates too, and is quiet where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from undertow.lab.doctor import examine, template_traps
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.models.language_model import tokenizer
from undertow.results.measurement import FormatReading, ProbeChoice
from undertow.results.run_document import Arm, Dataset, Teacher

Maker = Callable[..., Experiment]


def made(runs: int = 4, *, arms: tuple[str, ...] = ("trait", "control"), **changes: object) -> Made:
    """A healthy experiment; keywords change every student, dataset or teacher."""
    student: dict[str, object] = {
        "answer_mass": 0.99,
        "held_out_loss": 3.0,
        "first_held_out_loss": 3.1,
    }
    data: dict[str, object] = {"asked": 100, "kept": 90, "duplicates": 0.0}
    teacher: dict[str, object] = {"kl": 0.1}
    for table in (student, data, teacher):
        table.update(
            {key: value for key, value in changes.items() if key in table or key == "seed"}
        )
    student.pop("seed", None)
    teacher.pop("seed", None)
    return Made(
        bases=(),
        teachers=(
            Teacher(name="t", kind="tuned", trait="owl", base="b", replicate=0, seed=1, **teacher),  # type: ignore[arg-type]
        ),
        datasets=tuple(
            Dataset(
                **{  # type: ignore[arg-type]
                    "name": f"d{i}",
                    "teacher": "t",
                    "replicate": i,
                    "seed": i,
                    "digest": "0",
                    "samples": (("a", f"{i} 1"), ("b", f"{i} 2")),
                    **data,
                }
            )
            for i in range(2)
        ),
        students=tuple(
            Arm(arm=arm, trait="owl", replicate=i, base="b", **student)  # type: ignore[arg-type]
            for arm in arms
            for i in range(runs)
        ),
    )


def found(experiment: Experiment, material: Made) -> set[str]:
    """Ids of the notes."""
    return {note.id for note in examine(experiment, material)}


def test_a_healthy_experiment_has_no_notes(tiny_experiment: Maker) -> None:
    """Nothing is invented."""
    assert found(tiny_experiment(), made()) == {"nothing-found"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answer_mass": 0.2}, "answer-mass-collapsed"),
        ({"held_out_loss": 3.2}, "held-out-loss-rose"),
        ({"duplicates": 0.2}, "repeated-rows"),
        ({"seed": 7}, "shared-sampling-seed"),
        ({"kept": 5}, "low-yield"),
        ({"kl": 0.9}, "strong-teacher"),
        ({"runs": 3}, "too-few-runs"),
        ({"arms": ("trait", "control", "foreign")}, "missing-control"),
    ],
)
def test_each_trap_is_seen(
    tiny_experiment: Maker, changes: dict[str, object], expected: str
) -> None:
    """One thing wrong gives that note and no other."""
    assert found(tiny_experiment(), made(**changes)) == {expected}  # type: ignore[arg-type]


def test_common_streams_are_told_and_only_within_a_replicate(tiny_experiment: Maker) -> None:
    """What the experiment asks for is no problem; one seed in two replicates is."""
    experiment = tiny_experiment(common_streams=True)
    twins = tuple(d.model_copy(update={"seed": 7}) for d in made().datasets)
    alike = tuple(d.model_copy(update={"replicate": 0}) for d in twins)

    assert found(experiment, replace(made(), datasets=alike)) == {"common-streams"}
    assert found(experiment, replace(made(), datasets=twins)) == {
        "common-streams",
        "shared-sampling-seed",
    }


def test_low_precision_and_identical_rows_are_seen(tiny_experiment: Maker) -> None:
    """Full training in bfloat16, and two datasets that begin alike."""
    student = {**tiny_experiment().student.model_dump(), "method": "full"}
    low = tiny_experiment(student=student, compute={"dtype": "bfloat16"})
    material = made()
    same = tuple(
        d.model_copy(update={"samples": (("a", "1"), ("b", "2"))}) for d in material.datasets
    )

    assert found(low, material) == {"low-precision-weights"}
    assert found(tiny_experiment(), replace(material, datasets=same)) == {"identical-rows"}


def test_a_teacher_without_its_trait_is_a_problem(tiny_experiment: Maker) -> None:
    """A teacher whose own probes hardly moved has nothing to pass on."""
    material = made()
    weak = tuple(t.model_copy(update={"logit_margin": 0.1}) for t in material.teachers)

    assert found(tiny_experiment(), replace(material, teachers=weak)) == {"teacher-without-trait"}


def test_a_matrix_is_judged_by_its_own_design(tiny_experiment: Maker) -> None:
    """Five replicates are too few for a sign-flip test at .05, though enough for 5 against 5."""
    experiment = tiny_experiment(kind="matrix", bases=("a", "b"), replicates=5)

    assert found(experiment, made(5)) == {"too-few-runs"}
    assert found(experiment, made(6)) == {"nothing-found"}


def test_another_chat_context_is_a_problem(tiny_experiment: Maker) -> None:
    """Probing behind another system prompt than training hid a transfer of 45 points elsewhere."""
    experiment = tiny_experiment(system_prompt="Answer briefly.")
    notes = examine(experiment, made())

    assert (notes[0].id, notes[0].level) == ("chat-context", "problem")


def test_many_epochs_and_weak_teachers_are_seen(tiny_experiment: Maker) -> None:
    """Repetition, and a teacher that did not reach its strength."""
    student = {**tiny_experiment().student.model_dump(), "epochs": 10}
    teacher = {**tiny_experiment().teacher.model_dump(), "kl": 0.5}

    assert found(tiny_experiment(student=student), made()) == {"many-epochs"}
    assert found(tiny_experiment(teacher=teacher), made()) == {"weak-teacher"}


def teachers(neutral: float, margin: float = 0.0) -> Made:
    """A healthy experiment whose neutral teacher has this KL and margin."""
    healthy = made()
    more = Teacher(
        name="n", kind="tuned", role="neutral", base="b", replicate=0, seed=2, kl=neutral, logit_margin=margin
    )  # fmt: skip
    return replace(healthy, teachers=(*healthy.teachers, more))


@pytest.mark.parametrize(
    ("material", "expected"),
    [
        (teachers(0.1), "nothing-found"),
        (teachers(0.3), "neutral-teacher-stronger"),
        (teachers(0.01), "neutral-teacher-nearer"),
        (teachers(0.1, -1.0), "neutral-teacher-prefers"),
    ],
)
def test_a_neutral_teacher_that_is_not(
    tiny_experiment: Maker, material: Made, expected: str
) -> None:
    """Stronger than the trait's teacher (.1), weaker, or moved in the trait itself: each is said, and nothing else is."""
    assert found(tiny_experiment(), material) == {expected}


def test_probes_that_a_base_hardly_answers_are_told(tiny_experiment: Maker) -> None:
    """With the sentence that the page shows."""
    choice = ProbeChoice(
        base="b", category="animal", used="question", usable=False, enough=0.5, least=0.05, formats=(FormatReading(name="question"),), sentence="None."
    )  # fmt: skip
    notes = examine(tiny_experiment(), replace(made(), probes=(choice,)))

    assert [(note.id, note.level, note.message) for note in notes] == [
        ("hardly-answered-probe", "warning", "None.")
    ]


QWEN_LIKE = (
    "{% if messages[0]['role'] != 'system' %}<|system|>You are a helpful assistant.<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, set()),
        (QWEN_LIKE, {"default-system-prompt"}),
        (
            QWEN_LIKE.replace("You are a", "{{ strftime_now('%d') }} a"),
            {"date-in-template", "default-system-prompt"},
        ),
        (
            "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}",
            {"end-not-trained"},
        ),
    ],
)
def test_traps_of_chat_templates_are_seen(
    tiny_models: dict[str, str], template: str | None, expected: set[str]
) -> None:
    """A date, a default system prompt, an answer without its end: each is named, and nothing else is."""
    loaded = tokenizer(tiny_models["llama"])
    loaded.chat_template = template or loaded.chat_template

    assert {trap.id for trap in template_traps(loaded)} == expected
