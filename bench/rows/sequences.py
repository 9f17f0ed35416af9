"""Are the token ids and loss masks that undertow reads those of TRL's own trainers? Every shape, policy and template."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import TemplateError

from bench.figures import Figure, at_least, at_most
from bench.rows.generated_records import SHAPES, Record, records
from bench.rows.template_tokenizers import template_texts, template_tokenizer
from bench.rows.trl_sequences import Trained, as_dataset, trained_sequences
from undertow.data.plan import Loss, LossPolicy
from undertow.data.row_shapes import from_record
from undertow.errors import UndertowError
from undertow.models.chat import Encoded
from undertow.models.training_sequences import encode_rows, pair_sequences

COMMAND = "python -m bench.rows sequences"

POLICIES: dict[Loss, dict[str, bool]] = {
    "auto": {},
    "all": {"completion_only_loss": False},
    "assistant": {"assistant_only_loss": True},
    "completion": {"completion_only_loss": True},
}
"""undertow's policies as arguments of TRL's SFTTrainer; its `last` has none."""

ROWS = 1000
"""Generated rows of a combination that counts."""
FEW = 20
"""Generated rows of the templates that are nearly another one."""
_SINGLY = 20
"""Records that are tried one by one where a trainer refuses them."""

CHIEF = (
    *("cohere", "deepseekv3", "gemma3_training", "glm4moe", "gptoss", "lfm2_v2", "llama3"),
    *("muse_glimmer", "phi3", "qwen2_5", "qwen3", "qwen3_5_think_training"),
)
"""Templates of which all combinations are measured on `ROWS` rows: one of each family and more."""

REFUSALS = (UndertowError, TemplateError, ValueError, TypeError, LookupError, RuntimeError)
"""What TRL, templates and undertow refuse a record with."""

OURS = {
    "not training-compatible": "assistant turns in a template that TRL has no training variant of",
    "not conversational": "assistant turns of `conversations`, which TRL takes for plain text here",
    "is empty": "a completion without words, which TRL trains",
}
"""Where undertow goes its own way, by what the refusal says."""


@dataclass(frozen=True)
class Compared:
    """What came of some records in one combination."""

    equal: int = 0
    """Records of which ids and masks are those of TRL."""
    refused: int = 0
    """By both, of those that were tried."""
    ours: tuple[str, ...] = ()
    """Those that only one of both refuses, for a reason that is named."""
    differences: tuple[str, ...] = ()
    """All others, in words."""


def compared(
    tokenizer: Any,
    shape: str,
    policy: Loss,
    rows: Sequence[Record],
    arrow: bool = False,
    template: str = "",
) -> Compared:
    """
    Both readings of the records, which TRL gets together; the first of those that one side refuses one by one.

    `arrow` has a field that any turn has stand in all of them, as in Parquet; `template` is the plan's own, if it has one.
    """
    dataset = as_dataset(rows, arrow)
    stored = list(dataset)
    ours = read_sequences(tokenizer, stored, policy, template)
    trained = partial(_trained, tokenizer, shape, policy, template)
    read = [i for i, one in enumerate(ours) if not isinstance(one, Exception)]
    refused = [i for i in range(len(stored)) if i not in set(read)][:_SINGLY]
    try:
        right: list[Any] = trained(dataset.select(read)) if read else []
    except REFUSALS:
        read = read[:_SINGLY]
        right = [_singly(trained, dataset, i) for i in read]
    right += [_singly(trained, dataset, i) for i in refused]
    places = [*read, *refused]
    found = [_found(a, ours[i], stored[i]) for a, i in zip(right, places, strict=True)]
    return Compared(
        sum(text == "equal" for text in found),
        sum(text == "refused" for text in found),
        tuple(text for text in found if text in OURS.values()),
        tuple(text for text in found if text not in {"equal", "refused", *OURS.values()}),
    )


def _trained(
    tokenizer: Any, shape: str, policy: Loss, template: str, dataset: Any
) -> list[tuple[Trained, ...]]:
    return trained_sequences(SHAPES[shape][0], tokenizer, dataset, template, **POLICIES[policy])


def _singly(
    trained: Callable[[Any], list[tuple[Trained, ...]]], dataset: Any, place: int
) -> tuple[Trained, ...] | Exception:
    try:
        return trained(dataset.select([place]))[0]
    except REFUSALS as error:
        return error


def _found(
    right: tuple[Trained, ...] | Exception, ours: tuple[Trained, ...] | Exception, record: Record
) -> str:
    if isinstance(right, Exception) and isinstance(ours, Exception):
        return "refused"
    if right == ours:
        return "equal"
    if isinstance(right, Exception):
        return _named(f"TRL alone refuses ({right}): {record}")
    if isinstance(ours, Exception):
        return _named(f"undertow alone refuses ({ours}): {record}")
    what = "masks" if [r.ids for r in right] == [o.ids for o in ours] else "ids"
    return f"other {what}: {record}"


def _named(text: str) -> str:
    return next((name for words, name in OURS.items() if words in text.split("): {")[0]), text)


def read_sequences(
    tokenizer: Any, rows: Sequence[Record], policy: Loss, template: str = ""
) -> list[tuple[Trained, ...] | Exception]:
    """What undertow takes for the trainer's sequences of each record, or its refusal."""
    try:
        return list(_read(tokenizer, rows, LossPolicy(policy, template=template)))
    except REFUSALS as error:
        if len(rows) == 1:
            return [error]
        return [read_sequences(tokenizer, [one], policy, template)[0] for one in rows]


def _read(
    tokenizer: Any, rows: Sequence[Record], policy: LossPolicy
) -> Iterator[tuple[Trained, ...]]:
    shaped = [from_record(record) for record in rows]
    if shaped[0].rejected is not None:
        pairs = pair_sequences(tokenizer, shaped, policy)
        yield from (tuple(map(_sequence, both)) for both in pairs)
        return
    for row in encode_rows(tokenizer, shaped, policy):
        if not row.learnt and policy.loss == "assistant":
            raise ValueError("nothing is learnt")  # audit.row_fit refuses such a row
        yield (_sequence(row),)


def _sequence(row: Encoded) -> Trained:
    first, masked = len(row.prompt), set(row.masked)
    learnt = (i >= first and i - first not in masked for i in range(1, len(row)))
    return Trained(row.prompt + row.completion, tuple(learnt))


def policies(shape: str, every: bool = False) -> tuple[Loss, ...]:
    """
    The policies of TRL that differ on rows of a shape; `every` has those too that do not.

    Without a completion of its own a row is learnt whole under `auto`, `all` and `completion`.
    """
    if SHAPES[shape][0] != "SFT":
        return ("auto",)
    if every:
        return tuple(POLICIES)
    if "strings" in shape:
        return ("auto", "all")
    if shape in ("text", "conversations"):
        return ("auto",)
    return ("auto", "all", "assistant") if shape.startswith("prompt") else ("auto", "assistant")


def figures() -> list[Figure]:
    """All combinations, and a figure for each template."""
    return [*summary([*_combinations()]), _no_prefix()]


Measured = tuple[str, str, Compared]
"""A template, a shape with a policy, and what came of them."""


def summary(measured: Sequence[Measured]) -> list[Figure]:
    """What all combinations come to, and each template's."""
    every = [one for _, _, one in measured]
    wrong = [text for one in every for text in one.differences]
    ours = [
        f"{count} of {name}" for name, count in Counter(n for o in every for n in o.ours).items()
    ]
    more = {"command": COMMAND}
    return [
        at_least(
            f"sequences: combinations of shape, policy and template with {ROWS:,} rows each",
            sum(_rows(one) >= ROWS for one in every),
            30,
            "combinations",
            note=f"of {len(every)}, the others with fewer",
            **more,
        ),
        at_most(
            "sequences: rows with other ids or masks than TRL's, or that it alone trains, ours aside",
            len(wrong),
            0,
            "rows",
            note=f"of {sum(one.equal for one in every) + len(wrong):,}; {'; '.join(wrong[:2])[:600]}",
            **more,
        ),
        Figure(
            "sequences: rows that both refuse, of those that were tried one by one",
            sum(one.refused for one in every),
            "rows",
            note=f"where one side goes its own way: {'; '.join(ours)}",
            **more,
        ),
        *(_template(name, measured) for name in dict.fromkeys(name for name, _, _ in measured)),
    ]


def _rows(one: Compared) -> int:
    return one.equal + len(one.differences) + one.refused + len(one.ours)


def _template(name: str, measured: Sequence[Measured]) -> Figure:
    mine = [(label, one) for template, label, one in measured if template == name]
    rows = sum(one.equal + len(one.differences) for _, one in mine)
    told = "; ".join(f"{label}: {one.equal}" for label, one in mine if name in CHIEF)
    share = sum(one.equal for _, one in mine) / rows if rows else None
    return Figure(
        f"sequences: template {name}",
        share,
        "share of rows",
        note=f"{rows} rows in {len(mine)} combinations{'. ' if told else ''}{told}",
    )


def _no_prefix() -> Figure:
    """Templates that write a prompt otherwise once its answer follows, where TRL warns and goes on."""
    told = []
    for name, template in template_texts().items():
        tokenizer = template_tokenizer(name, template)
        if any(_diverges(tokenizer, row) for row in records("prompt, completion", FEW)):
            told.append(name)
    return Figure(
        "sequences: templates whose prompt is no prefix of some row",
        len(told),
        "templates",
        note=", ".join(told),
        command=COMMAND,
    )


def _diverges(tokenizer: Any, row: Record) -> bool:
    try:
        before = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]])
    except REFUSALS:
        return False
    prompt = list(before["input_ids"])
    return prompt != list(whole["input_ids"])[: len(prompt)]


def _combinations() -> Iterator[Measured]:
    texts = template_texts()
    for number, (name, template) in enumerate(texts.items(), 1):
        print(f"template {number} of {len(texts)}: {name}", file=sys.stderr, flush=True)
        tokenizer = template_tokenizer(name, template)
        for shape in SHAPES:
            if "strings" in shape and name not in CHIEF:
                continue  # no template is asked
            for policy in policies(shape, every=name == "llama3"):
                rows = records(shape, ROWS if name in CHIEF else FEW)
                yield name, f"{shape} | {policy}", compared(tokenizer, shape, policy, rows)
        tooled = records("messages, tools", FEW)
        one = compared(tokenizer, "messages, tools", "auto", tooled, arrow=True)
        yield name, "messages, tools, as in Parquet | auto", one
