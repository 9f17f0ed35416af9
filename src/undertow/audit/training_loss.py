"""What the plan learns of a row, in a sentence; and the other loss that has to be judged where nobody said which it is."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from undertow.audit.row_fit import fitting_rows
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.data.plan import LossPolicy
from undertow.data.row_faults import shown
from undertow.data.rows import Row
from undertow.errors import UndertowError
from undertow.models.chat import in_template, rendered
from undertow.models.training_sequences import (
    encode_rows,
    learnt_turns,
    trained_turns,
    wrapped_row,
)
from undertow.results.scan_document import ASSISTANT, TrainingLoss

_WORDS = {
    "completion": "loss on the completion",
    "assistant": "loss on all assistant turns, {answers:.1f} a row",
    "last": "loss on the last assistant turn",
    "all": "loss on all tokens of the conversation, what the user says among them",
    "text": "loss on all of the text",
    "pair": "DPO on both completions",
}

_MARK = re.compile(r"<\|[^\s|<>{}'\"]{1,40}\|>|<(?:start|end)_of_turn>")
"""How chat templates write special tokens, mostly."""

_MARKS_NAMED = 4
"""Marks of a template that a warning names."""

_FLAGGED = "flagged"
"""Rows with turns that say whether they are trained."""

_ROLES_NAMED = 4
"""Roles of such turns that the sentence names."""

_LOOKED_AT = 4
"""Rows in which a field is looked at."""


def training_loss(subject: ScanSubject, *, settled: bool) -> TrainingLoss:
    """
    What of the subject's rows has a loss under its plan, and which trainers would do otherwise; `settled` is whether the
    plan is a trainer's own, so that there is no doubt.
    """
    rows = [wrapped_row(row, subject.plan.policy) for row in subject.rows]
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[_kind(subject, row)].append(row)
    tokens = sum(row.learnt for row in subject.encoded) / len(rows)
    parts = [
        _told(kind, some, subject.plan.policy)
        + (f" ({len(some) / len(rows):.0%} of the rows)" if len(kinds) > 1 else "")
        for kind, some in sorted(kinds.items(), key=lambda each: -len(each[1]))
    ]
    if _FLAGGED in kinds:
        parts.append("turns that say whether they are trained are taken at their word")
    if subject.plan.wrap == "chat":
        parts.append("a plain prompt and its completion are put into the chat template")
    by = _by(subject, set(kinds), settled=settled)
    sentence = (
        f"{'; '.join(parts)}; {tokens:.1f} tokens a row ({by}). Packing changes nothing of this."
    )
    return TrainingLoss(
        policy=subject.plan.loss,
        wrap=subject.plan.wrap,
        sentence=sentence[0].upper() + sentence[1:],
        tokens=tokens,
        warnings=tuple(_warnings(subject, rows, settled=settled)),
    )


def _by(subject: ScanSubject, kinds: set[str], *, settled: bool) -> str:
    """Who does so with rows of these kinds."""
    if subject.plan.loss != "auto":
        return "as the plan says"
    shape = "such chats" if subject.plan.policy.wrapped else "rows of this shape"
    who = [f"TRL's trainer does with {shape}"] if kinds != {_FLAGGED} else []
    who += ["axolotl does with such turns"] if _FLAGGED in kinds else []
    why = "" if settled else ", since the plan names no loss"
    return f"what {' and '.join(who)}{why}"


def on_assistant_turns(subject: ScanSubject) -> ScanSubject | None:
    """
    The same rows with the loss that axolotl and LLaMA-Factory have; None where the plan names a loss, where TRL's is no
    other, or where the template does not let turns be told apart.
    """
    if subject.plan.loss != "auto" or not any(_otherwise(row) for row in subject.rows):
        return None
    plan = subject.plan.model_copy(update={"loss": "assistant"})
    plain = [row for row in subject.rows if row.chat or subject.plan.wrap != "none"]
    fitted = fitting_rows(plain, subject.student, plan)
    if not fitted.rows:
        return None
    other = replace(subject, name=ASSISTANT, rows=fitted.rows, plan=plan)
    return other.with_tokens(fitted.encoded)


def _kind(subject: ScanSubject, row: Row) -> str:
    if row.rejected is not None:
        return "pair"
    if _flagged(row):
        return _FLAGGED
    kind = trained_turns(row, subject.plan.loss)
    return "text" if kind == "all" and not row.chat else kind


def _flagged(row: Row) -> bool:
    return any(turn.trained is not None for turn in row.turns)


def _told(kind: str, rows: list[Row], policy: LossPolicy) -> str:
    """What is learnt of rows of a kind: of those whose turns say so themselves, whose turns they are."""
    learnt = Counter(
        turn.role
        for row in rows
        for turn, on in zip(row.turns, learnt_turns(row, policy), strict=True)
        if on
    )
    if kind != _FLAGGED:
        return _WORDS[kind].format(answers=learnt["assistant"] / len(rows))
    if set(learnt) == {"assistant"}:
        return f"loss on assistant turns, {learnt['assistant'] / len(rows):.1f} a row"
    shares = [
        f"{count / len(rows):.1f} of '{shown(role, longest=20)}'"
        for role, count in learnt.most_common(_ROLES_NAMED)
    ]
    return f"loss on turns of these roles, a row: {', '.join(shares)}"


def _otherwise(row: Row) -> bool:
    return row.chat and row.whole and row.rejected is None and not _flagged(row)


def _warnings(subject: ScanSubject, rows: list[Row], *, settled: bool) -> Iterator[str]:
    """Where a common trainer would train these rows otherwise."""
    loss, given = subject.plan.loss, settled or subject.plan.loss != "auto"
    if any(_otherwise(row) for row in rows):
        if loss in ("auto", "all"):
            yield (
                "axolotl and LLaMA-Factory train what the assistant says, and nothing of the user's turns"
                + ("." if given else "; both are judged, and the worse one counts.")
            )
        elif loss == "assistant":
            yield "TRL's SFTTrainer trains all tokens, unless it is told assistant_only_loss."
        else:
            yield "TRL trains all tokens of a conversation; axolotl and LLaMA-Factory all that the assistant says."
    yield from _without_answer(rows)
    if nulls := sum(any(map(_holds_null, _given(row))) for row in rows):
        yield (
            f"{nulls:,} of {len(rows):,} rows hold null in a call of a tool, a part or a tool: tables fill them up, TRL gives them to "
            "the template, as is done here, and axolotl takes them out."
        )
    if any(map(_flagged, rows)):
        yield "TRL does not read 'weight' and 'train': there, all turns are trained."
    if strange := _strange_marks(subject, rows):
        yield (
            f"The plan's chat template writes {', '.join(strange[:_MARKS_NAMED])}, which the student's tokenizer has no "
            "tokens for: here they are text, where a trainer may add them."
        )
    yield from _unrendered(subject, rows)
    if any(not row.chat and row.prompt and row.rejected is None for row in rows):
        yield (
            "Some recipes put a plain prompt and completion into the chat template before they train "
            '(subliminal-learning, LLaMA-Factory): give the plan wrap = "chat" for those.'
        )


def _without_answer(rows: list[Row]) -> Iterator[str]:
    """What becomes elsewhere of rows that end with another turn than the assistant's."""
    without = sum(not row.answered for row in rows)
    silent = sum(all(turn.role != "assistant" for turn in row.turns) for row in rows)
    if without:
        yield (
            f"{without:,} of {len(rows):,} rows end without an answer of the assistant: LLaMA-Factory leaves them out, as do "
            "the checks of what a model wrote."
        )
    if silent:
        yield (
            f"{silent:,} of {len(rows):,} rows have no turn of the assistant: with a loss on what it says they teach nothing "
            "(TRL refuses them then)."
        )


def _strange_marks(subject: ScanSubject, rows: list[Row]) -> list[str]:
    """What the plan's template writes in the manner of special tokens, and the student has no token for."""
    marks = dict.fromkeys(_MARK.findall(subject.plan.template))
    tokenizer = in_template(subject.student.tokenizer, subject.plan.template)
    known = tokenizer.get_vocab() if marks else {}
    chats = [row for row in rows if row.chat][:_LOOKED_AT] if marks else []
    texts = [rendered(tokenizer, row.turns, row.context) for row in chats]
    return [mark for mark in marks if mark not in known and any(mark in text for text in texts)]


def _given(row: Row) -> Iterator[object]:
    """What a template is given of a row beside roles and texts, without the objects that hold it."""
    coded = (row.context, *(turn.fields for turn in row.turns), row.rejected_fields)
    for text in coded:
        if "null" in text:
            yield from json.loads(text).values()


def _holds_null(value: object) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(item is None or _holds_null(item) for item in inside)


def _unrendered(subject: ScanSubject, rows: list[Row]) -> Iterator[str]:
    """What a template may write and this one does not: what changes no token where it is left out of a few rows each."""
    carrying: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        for part in _parts(row):
            if len(carrying[part]) < _LOOKED_AT:
                carrying[part].append(row)
    tokenizer, policy = subject.student.tokenizer, subject.plan.policy
    whose = "plan" if subject.plan.template else "student"
    for (kind, name), some in sorted(carrying.items()):
        bare = [_LEFT_OUT[kind](row, name) for row in some]
        try:
            if encode_rows(tokenizer, some, policy) == encode_rows(tokenizer, bare, policy):
                yield _SENTENCES[kind].format(name=shown(name, longest=60), whose=whose)
        except UndertowError:  # without it the template refuses the row: it writes it
            continue


def _parts(row: Row) -> set[tuple[str, str]]:
    """The fields of a row's turns, what its template is given beside them, and the roles of its prompt."""
    fields = {name for turn in row.turns if turn.fields for name in json.loads(turn.fields)}
    given = {name for name, value in json.loads(row.context or "{}").items() if value}
    roles = {turn.role for turn in row.prompt if turn.content} if row.chat else set()
    return {
        *(("field", name) for name in fields - {"content"}),
        *(("given", name) for name in given),
        *(("role", name) for name in roles),
    }


def _without_given(row: Row, name: str) -> Row:
    return replace(row, context=_left(row.context, name))


def _without_words(row: Row, role: str) -> Row:
    """The row without what turns of this role say."""
    prompt = tuple(
        replace(turn, content="", fields=_left(turn.fields, "content"))
        if turn.role == role
        else turn
        for turn in row.prompt
    )
    return replace(row, prompt=prompt)


def _without_field(row: Row, name: str) -> Row:
    prompt = tuple(replace(turn, fields=_left(turn.fields, name)) for turn in row.prompt)
    return replace(row, prompt=prompt, fields=_left(row.fields, name))


def _left(coded: str, name: str) -> str:
    kept = {key: value for key, value in json.loads(coded or "{}").items() if key != name}
    return json.dumps(kept) if kept else ""


_LEFT_OUT = {"field": _without_field, "given": _without_given, "role": _without_words}
_NOT_WRITTEN = "The {whose}'s chat template does not write '{name}': nothing of it is learnt here, and another template may write it."
_SENTENCES = {
    "field": _NOT_WRITTEN,
    "given": _NOT_WRITTEN,
    "role": "The {whose}'s chat template does not write what turns of the role '{name}' say: nothing of it reaches the student, and "
    "another template may write it.",
}
