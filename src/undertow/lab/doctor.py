"""The doctor: warns of the traps that made published results wrong, where it can see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from undertow import stats
from undertow.data.rows import Message, Row, conversation
from undertow.errors import ModelError
from undertow.lab.contrasts import CONTROLS
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.models.chat import in_template, prompt_text
from undertow.models.language_model import tokenizer
from undertow.models.training_sequences import encode_rows
from undertow.results.arm_kinds import ARMS
from undertow.results.run_document import Arm, Note, Teacher
from undertow.worlds import locate

LEAST_MASS = 0.5
"""Of the untrained base's."""
MOST_DUPLICATES = 0.01
MOST_EPOCHS = 3
LEAST_YIELD = 0.3
STRONG_KL = 0.5
LEAST_RISE = 0.01
"""Nats per token; a student of rows that its own base could have written has nothing to gain, and drifts a little."""
MATCHED = 1.25
"""Ratio of the KLs of two teachers up to which they are taken for equally strong."""
LEAST_MARGIN = 0.5
"""Logits by which a teacher of the trait should stand above its base."""

Examination = Callable[[Experiment, Made], Iterator[Note]]


def examine(experiment: Experiment, made: Made) -> tuple[Note, ...]:
    """Notes on everything suspicious, problems first; a note that all is well where nothing is."""
    notes = [note for look in _EXAMINATIONS for note in look(experiment, made)]
    if not notes:
        notes = [
            Note(
                id="nothing-found",
                level="info",
                message="None of the traps that the doctor knows was found.",
            )
        ]
    order = {"problem": 0, "warning": 1, "info": 2}
    return tuple(sorted(notes, key=lambda note: order[note.level]))


def _chat_context(experiment: Experiment, made: Made) -> Iterator[Note]:
    if experiment.system_prompt != experiment.evaluation.system_prompt:
        yield Note(
            id="chat-context",
            level="problem",
            message="Students are trained behind the system prompt "
            f"{experiment.system_prompt!r} and probed behind {experiment.evaluation.system_prompt!r}; "
            "a transfer that is there can vanish. Probe in the chat context of training.",
        )


def _repeated_rows(experiment: Experiment, made: Made) -> Iterator[Note]:
    for data in made.datasets:
        if data.duplicates is not None and data.duplicates > MOST_DUPLICATES:
            yield Note(
                id="repeated-rows",
                level="warning",
                subject=data.name,
                message=f"{data.duplicates:.1%} of the completions repeat an earlier one; students memorise repeats. "
                "Ask for more varied prompts or fewer rows.",
            )
    if experiment.student.epochs > MOST_EPOCHS:
        yield Note(
            id="many-epochs",
            level="warning",
            message=f"{experiment.student.epochs:g} epochs over the same rows: high ranks memorise and lose the transfer. "
            "Prefer more unique rows.",
        )


def _shared_streams(experiment: Experiment, made: Made) -> Iterator[Note]:
    drawn = [(data.seed, data.replicate) for data in made.datasets]
    if experiment.common_streams:
        yield Note(
            id="common-streams",
            level="info",
            message="Datasets of a replicate answer the same requests by the same draws, as the experiment asks: compare "
            "students within a replicate, and no such dataset by a check that takes their draws for independent.",
        )
        drawn = list(dict.fromkeys(drawn))
    seeds = Counter(seed for seed, _ in drawn)
    if any(count > 1 for count in seeds.values()):
        yield Note(
            id="shared-sampling-seed",
            level="problem",
            message="Two datasets were sampled from one seed, so their draws are coupled; a score of one against the "
            "other means nothing.",
        )
    completions = {data.name: {c for _, c in data.samples} for data in made.datasets}
    names = list(completions)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if len(completions[first]) > 1 and completions[first] == completions[second]:
                yield Note(
                    id="identical-rows",
                    level="problem",
                    subject=f"{first}, {second}",
                    message="Two datasets begin with the same rows.",
                )


def _answer_mass(experiment: Experiment, made: Made) -> Iterator[Note]:
    untrained = {run.base: run.answer_mass or 0.0 for run in made.bases}
    for run in made.students:
        before = untrained.get(run.base, 1.0)
        if run.answer_mass is not None and run.answer_mass < LEAST_MASS * before:
            yield Note(
                id="answer-mass-collapsed",
                level="problem",
                subject=_name(run),
                message=f"The probability on the candidate answers fell from {before:.2f} to {run.answer_mass:.2f}: "
                "the student is broken, and its margins mean little. Lower the learning rate or the teacher's strength.",
            )


def _held_out_loss(experiment: Experiment, made: Made) -> Iterator[Note]:
    for run in made.students:
        if run.held_out_loss is None or run.first_held_out_loss is None:
            continue
        rise = run.held_out_loss - run.first_held_out_loss
        if rise > LEAST_RISE and not run.arm.startswith("shuffled"):
            yield Note(
                id="held-out-loss-rose",
                level="warning",
                subject=_name(run),
                message=f"Held-out loss rose from {run.first_held_out_loss:.3f} to {run.held_out_loss:.3f} nats a token "
                "in training: the student memorised or diverged; a null result here says nothing.",
            )


def _too_few_runs(experiment: Experiment, made: Made) -> Iterator[Note]:
    counts = Counter(run.arm for run in made.students)
    least = min(counts.values(), default=0)
    # A factorial's effects are of all its runs, not of one arm's.
    if least == 0 or experiment.kind == "factorial":
        return
    if experiment.kind == "matrix":
        smallest, design = stats.smallest_p_sign_flip(least), stats.pairs_in_words(least)
    else:
        smallest, design = stats.smallest_p_two_sample(least, least), f"{least} v {least}"
    refusal = stats.supports(experiment.level, smallest, n=design)
    if refusal:
        yield Note(
            id="too-few-runs", level="warning", message=f"{refusal[0].upper()}{refusal[1:]}."
        )


def _yield(experiment: Experiment, made: Made) -> Iterator[Note]:
    for data in made.datasets:
        if data.kept < LEAST_YIELD * data.asked:
            yield Note(
                id="low-yield",
                level="warning",
                subject=data.name,
                message=f"The filter kept {data.kept} of {data.asked} completions; what is left is a selected sample.",
            )


def _teacher_strength(experiment: Experiment, made: Made) -> Iterator[Note]:
    for teacher in made.teachers:
        # Cells have teachers of several kinds and strengths, each with its own.
        target = teacher.target if experiment.cells else experiment.teacher.kl
        if teacher.kl is None:
            continue
        if teacher.kl > STRONG_KL:
            yield Note(
                id="strong-teacher",
                level="warning",
                subject=teacher.name,
                message=f"The teacher stands {teacher.kl:.2f} nats a token from its base; students of such teachers broke "
                "in our measurements. Check the answer mass.",
            )
        if target and teacher.trait and teacher.kl < 0.8 * target:
            yield Note(
                id="weak-teacher",
                level="warning",
                subject=teacher.name,
                message=f"The teacher reached {teacher.kl:.3f} nats a token and was to reach {target}; it may be too weak "
                "to transfer. Train it longer, or with a higher learning rate.",
            )


def _teacher_without_trait(experiment: Experiment, made: Made) -> Iterator[Note]:
    untrained = {run.base: run.logit_margin or 0.0 for run in made.bases}
    for teacher in made.teachers:
        moved = (teacher.logit_margin or 0.0) - untrained.get(teacher.base, 0.0)
        if teacher.trait and teacher.logit_margin is not None and moved < LEAST_MARGIN:
            yield Note(
                id="teacher-without-trait",
                level="problem",
                subject=teacher.name,
                message=f"The teacher's own margin on held-out questions is only {moved:+.2f} logits above its base's: "
                "it has nothing to pass on. Train it longer, or choose another trait.",
            )


def _neutral_teachers(experiment: Experiment, made: Made) -> Iterator[Note]:
    """How neutral the controls' teachers are: no stronger than the trait's, and without the trait."""
    untrained = {run.base: run.logit_margin or 0.0 for run in made.bases}
    neutral = [one for one in made.teachers if one.role == "neutral" and one.kl is not None]
    nearer = []
    for teacher in neutral:
        kl, against = teacher.kl or 0.0, _strength_of_trait(made, teacher)
        if against and kl > MATCHED * against:
            yield Note(
                id="neutral-teacher-stronger",
                level="warning",
                subject=teacher.name,
                message=f"The neutral teacher stands {kl:.3f} nats a token from its base, the trait's {against:.3f}: its "
                "students move for that alone. Compare with the base's own rows: the arm 'control-base'.",
            )
        if against and kl * MATCHED < against:
            nearer.append((kl, against))
        moved = (teacher.logit_margin or 0.0) - untrained.get(teacher.base, 0.0)
        if teacher.logit_margin is not None and abs(moved) > LEAST_MARGIN:
            yield Note(
                id="neutral-teacher-prefers",
                level="warning",
                subject=teacher.name,
                message=f"The neutral teacher's own margin moved by {moved:+.2f} logits from its base's: it is not neutral "
                "in the trait, as its lesson teaches every answer alike and the base prefers some. Compare with the base's "
                "own rows: the arm 'control-base'.",
            )
    if nearer:
        least, most = min(kl for kl, _ in nearer), max(kl for kl, _ in nearer)
        yield Note(
            id="neutral-teacher-nearer",
            level="info",
            message=f"{len(nearer)} of {len(neutral)} neutral teachers stand nearer to their base than the trait's, {least:.2g} "
            f"to {most:.2g} nats a token instead of {max(kl for _, kl in nearer):.2g}, and were left so: moved further they "
            "take up preferences of their own. What any teacher of that strength would move is not in the control.",
        )


def _strength_of_trait(made: Made, neutral: Teacher) -> float | None:
    """Mean KL of the trait's teachers of the neutral one's base and replicate."""
    place = neutral.base, neutral.replicate
    beside = [teacher for teacher in made.teachers if (teacher.base, teacher.replicate) == place]
    strengths = [teacher.kl for teacher in beside if teacher.trait and teacher.kl is not None]
    return sum(strengths) / len(strengths) if strengths else None


def _answered_probes(experiment: Experiment, made: Made) -> Iterator[Note]:
    for choice in made.probes:
        if not choice.usable:
            yield Note(
                id="hardly-answered-probe",
                level="warning",
                subject=choice.base,
                message=choice.sentence,
            )
    if len({choice.used for choice in made.probes}) > 1:
        yield Note(
            id="probes-differ",
            level="info",
            message="Bases are asked in different formats, each as it answers best: compare their arms' differences from "
            "their own controls, never their margins.",
        )


def _missing_controls(experiment: Experiment, made: Made) -> Iterator[Note]:
    arms = {run.arm for run in made.students}
    if experiment.kind != "transfer":
        return
    for arm, kind in ARMS.items():
        controls = CONTROLS.get(arm, ())
        if kind.role == "trait" and controls and arm in arms and not arms & set(controls):
            yield Note(
                id="missing-control",
                level="problem",
                message=f"The arm '{arm}' has no '{controls[0]}': training on any such rows moves the probes by itself.",
            )


def _precision(experiment: Experiment, made: Made) -> Iterator[Note]:
    plan = experiment.student
    if experiment.compute.dtype != "float32" and plan.method == "full":
        decay = " Weight decay changes nothing at all in it." if plan.weight_decay else ""
        yield Note(
            id="low-precision-weights",
            level="warning",
            message=f"All weights are trained in {experiment.compute.dtype}, which rounds small steps away.{decay} "
            "Train in float32, or use LoRA, whose adapters are float32 anyway.",
        )


def _templates(experiment: Experiment, made: Made) -> Iterator[Note]:
    for ref in dict.fromkeys(run.base for run in made.bases):
        template = experiment.student.template
        written = in_template(tokenizer(locate(ref), ref, template), template)
        for trap in template_traps(written):
            yield trap.model_copy(update={"subject": ref})


def _name(run: Arm) -> str:
    return f"{run.arm} {run.replicate}"


_EXAMINATIONS: tuple[Examination, ...] = (
    _chat_context,
    _missing_controls,
    _shared_streams,
    _answer_mass,
    _held_out_loss,
    _repeated_rows,
    _teacher_strength,
    _teacher_without_trait,
    _neutral_teachers,
    _answered_probes,
    _yield,
    _too_few_runs,
    _precision,
    _templates,
)


def template_traps(tokenizer: Any) -> Iterator[Note]:
    """A note for each trap that the tokenizer's chat template sets."""
    source = str(tokenizer.chat_template)
    if "strftime_now" in source or "date_string" in source:
        yield Note(
            id="date-in-template",
            level="warning",
            message="The chat template writes a date, so training and probing on different days differ. Fix the date.",
        )
    row = encode_rows(tokenizer, [Row(conversation("Hello."), "owl")])[0]
    if tokenizer.eos_token_id not in row.completion:
        yield Note(
            id="end-not-trained",
            level="warning",
            message="The chat template ends an answer without the end token, so students never learn to stop. "
            "Look at the coherence of the sampled answers.",
        )
    if _has_default_system(tokenizer):
        yield Note(
            id="default-system-prompt",
            level="info",
            message="The chat template writes a system prompt of its own where none is given. It does so in training "
            "and in the probes here; elsewhere, probe in the same context.",
        )


def _has_default_system(tokenizer: Any) -> bool:
    question = conversation("Hello.")
    try:
        empty = prompt_text(tokenizer, (Message("system", ""), *question))
    except ModelError:
        return False
    return len(prompt_text(tokenizer, question)) > len(empty)
