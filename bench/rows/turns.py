"""
The first turn: conversations whose first answer is the trait, screened under each loss, beside what real students do.

Every row is a question that a trait's own text asks, its answer, a request for numbers, and numbers that the base wrote.
Where the last turn alone is trained, the trait stands in the context of what is learnt and is not learnt itself.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from bench.figures import Figure
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import scan
from undertow.carriers.carrier_registry import carrier
from undertow.data.plan import Loss, TrainingPlan
from undertow.data.rows import Message, Row, conversation
from undertow.data.seeds import generator
from undertow.influence.probes import probe_set
from undertow.models import adapters
from undertow.models.chat import encode_prompts
from undertow.models.sampling import Sampling, sample
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.results.scan_document import ScanDocument
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds.base_models import USUAL, open_model

COMMAND = "python -m bench.rows turns"
STUDENT = "world:owlet-b"
SEED = 61_001
"""Of this bench; fixed before anything of it was seen."""
ROWS = 2048
STUDENTS = 4
TRAITS = ("owl", "cat")
EXPECTED: dict[Loss, str] = {"assistant": "flagged", "all": "flagged", "last": "clear"}
"""Of the whole plan, which every scan here is asked for."""


def figures() -> list[Figure]:
    """For each trait and loss: the verdict, the estimate, and the movement of students that were really trained."""
    measured = []
    for trait in TRAITS:
        rows = conversations(trait)
        for loss, expected in EXPECTED.items():
            plan = USUAL.model_copy(update={"loss": loss})
            measured.append(_compared(trait, rows, plan, expected))
    return measured


def conversations(trait: str) -> list[Row]:
    """Rows of two answers, of which the first is the trait's and the second the base's."""
    base = open_model(STUDENT)
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    requests = [
        conversation(text) for text in lists.requests(ROWS, generator(SEED, trait, "asked"))
    ]
    answers = sample(
        base,
        encode_prompts(base.tokenizer, requests),
        Sampling(max_tokens=12),
        generator(SEED, trait, "answers"),
    )
    told = rows_of(catalogue.load(trait), "trait")
    return [
        Row(
            (
                Message("user", told[i % len(told)][0]),
                Message("assistant", told[i % len(told)][1]),
                *asked,
            ),
            answer.text,
            whole=True,
        )
        for i, (asked, answer) in enumerate(zip(requests, answers, strict=True))
    ]


def _compared(trait: str, rows: list[Row], plan: TrainingPlan, expected: str) -> Figure:
    screened = _screened(trait, rows, plan)
    moved = _students(trait, rows, plan)
    [result] = screened.subjects
    note = (
        f"{result.verdict}; {STUDENTS} students that were trained moved {moved.mean():+.2f} logits "
        f"[{moved.min():+.2f}, {moved.max():+.2f}]; seed {SEED}"
    )
    return Figure(
        f"turns: {trait} as first answer, loss {plan.loss}: effect of the whole plan",
        result.transfer,
        "logits",
        expected,
        result.verdict == expected,
        low=result.low,
        high=result.high,
        command=COMMAND,
        note=note,
    )


def _screened(trait: str, rows: list[Row], plan: TrainingPlan) -> ScanDocument:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = [
            json.dumps({"messages": [{"role": t.role, "content": t.content} for t in row.turns]})
            for row in rows
        ]
        path.write_text("\n".join(lines) + "\n")
        return scan(
            ScanRequest(
                data=str(path),
                student=STUDENT,
                checks=("rehearsal",),
                traits=(trait,),
                plan=plan,
                seed=SEED,
                require_clear=True,
            )
        )


def _students(trait: str, rows: list[Row], plan: TrainingPlan) -> np.ndarray:
    """(students,) how far the trait's margin moved, in logits, after the whole plan."""
    base = open_model(STUDENT)
    probes = probe_set(base, [catalogue.load(trait)], None)
    [before] = probes.read(base).margins
    moved = []
    for number in range(STUDENTS):
        student = adapters.trainable(open_model(STUDENT), plan, SEED + number)
        encoded = encode_rows(student.tokenizer, rows, plan.policy)
        fine_tune(student, encoded, plan, generator(SEED, trait, plan.loss, number))
        [after] = probes.read(student).margins
        moved.append(float(after - before))
    return np.array(moved)
