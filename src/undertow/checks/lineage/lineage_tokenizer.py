"""The check `lineage-tokenizer`: do two models cut text in the same way?"""

from __future__ import annotations

from typing import Any

from undertow.checks.lineage.lineage_subject import LineageSubject, Side
from undertow.results.measurement import Measurement, skipped

ID = "lineage-tokenizer"


def lineage_tokenizer(subject: LineageSubject) -> list[Measurement]:
    """
    Compares the tokenizers of two models: vocabulary, merges, special tokens, chat template.

    The estimate is the share of the tokens of either that both have under the same number. What a fine-tune usually
    leaves alone (vocabulary and merges) is told apart from what it often changes (special tokens, template).

    Why it matters. A tokenizer is chosen before a base is trained and hardly ever changed after it, so that an unequal
    one makes a shared initialisation unlikely; and rows of another tokenizer are other tokens to the student.

    What it cannot tell you. That equal tokenizers mean equal weights: whole families, and unrelated models too, share
    one. It decides nothing here.

    What to do. Where tokenizers differ, compare what can be compared by `lineage-outputs`. Where they are equal, look at
    `lineage-weights`.

    Numbers beside it: vocabulary sizes; whether `merges`, `special tokens` and `chat template` are equal (1) or not (0).
    """
    sides = (subject.student, subject.teacher)
    if any(side.folder is None for side in sides):
        return [skipped(ID, subject.name, "a model that is asked over HTTP shows no files")]
    read = [_read(side) for side in sides]
    for side, tokenizer in zip(sides, read, strict=True):
        if tokenizer is None:
            return [skipped(ID, subject.name, f"'{side.ref}' has no tokenizer.json")]
    ours, theirs = (tokenizer for tokenizer in read if tokenizer is not None)
    both = ours["vocabulary"].items() & theirs["vocabulary"].items()
    either = ours["vocabulary"].keys() | theirs["vocabulary"].keys()
    share = len(both) / max(1, len(either))
    equal = {
        key.replace("_", " "): int(ours[key] == theirs[key])
        for key in ("merges", "special_tokens", "chat_template")
    }
    same = share == 1 and equal["merges"]
    return [
        Measurement(
            check=ID,
            name="vocabulary",
            subject=subject.name,
            estimate=share,
            n=f"{len(either):,} tokens",
            unit="share of tokens under the same number",
            reason="the same tokenizer" if same else f"{len(either) - len(both):,} tokens differ",
            details={
                "student's tokens": len(ours["vocabulary"]),
                "teacher's tokens": len(theirs["vocabulary"]),
                **equal,
            },
        )
    ]


def _read(side: Side) -> dict[str, Any] | None:
    from undertow.models.model_folder import read_object

    # An adapter's own goes before its base's, as where models are loaded.
    folders = [folder for folder in side.folders if (folder / "tokenizer.json").is_file()]
    if not folders:
        return None
    folder = folders[-1]
    stored = read_object(folder / "tokenizer.json", side.ref)
    settings = folder / "tokenizer_config.json"
    config = read_object(settings, side.ref) if settings.is_file() else {}
    template = folder / "chat_template.jinja"
    model = stored.get("model", {})
    vocabulary = model.get("vocab", {})
    if isinstance(vocabulary, list):  # a unigram model: pairs of token and score, in order
        vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
    added = {str(one["content"]): one["id"] for one in stored.get("added_tokens", [])}
    return {
        "vocabulary": {**vocabulary, **added},
        "merges": model.get("merges", []),
        "special_tokens": sorted(
            one["content"] for one in stored.get("added_tokens", []) if one["special"]
        ),
        "chat_template": template.read_text(encoding="utf-8")
        if template.is_file()
        else config.get("chat_template"),
    }
