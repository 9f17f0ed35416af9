"""The one way to clean a dataset: by a scan of it and a method, to the edited rows and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.data.dataset import open_dataset
from undertow.data.leaf_file import LeafFile
from undertow.data.plan import LAST_TURN, LossPolicy
from undertow.data.row_faults import shown
from undertow.data.row_records import with_completion, with_prompt
from undertow.data.row_shapes import is_text, shaped
from undertow.data.rows import Row
from undertow.data.seeds import generator
from undertow.engines import CLUSTER, choose
from undertow.errors import ConfigError
from undertow.mitigate.rows import token_edits
from undertow.mitigate.rows.changes import (
    Changes,
    CleaningSubject,
    Lot,
    change,
    inoculated,
    named,
    reworded,
    rewritten,
)
from undertow.mitigate.rows.clean_request import (
    CHANGING,
    TOKENS,
    Cleaned,
    Cleaning,
    Method,
    RowsAsScanned,
    dose_of,
    refuse_other_student,
    refuse_share,
    scanned_rows,
)
from undertow.mitigate.rows.removal import deduplicate, delete, dilute, drop_sources
from undertow.mitigate.rows.token_edits import (
    Places,
    Scores,
    masked_record,
    refuse_irreplaceable,
    replaced,
)
from undertow.models.chat import Encoded
from undertow.models.training_sequences import encode_rows, learnt_turns
from undertow.traits import catalogue

_SHOWN = 40
"""Characters of a row that an error names."""


def clean(cleaning: Cleaning) -> Cleaned:
    """
    Write what is left to the output, whole or not at all.

    Raises:
        ConfigError: the scan is of other data, or has not what the method needs, or the carrier does not allow it.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read.
        ModelError: a model cannot be loaded.
        InputError: the engine's cluster cannot be joined.
    """
    _refuse_overwriting(cleaning)
    _refuse_renamed(cleaning)
    name = cleaning.engine or "inprocess"
    with choose(name, cleaning.jobs, gpus=cleaning.gpus, memory=cleaning.memory) as engine:
        # A cluster that was named is joined also where the rows have one part, which is read here.
        if name.startswith(CLUSTER):
            engine.join()
        return _cleaned(cleaning)


def _cleaned(cleaning: Cleaning) -> Cleaned:
    rows = scanned_rows(cleaning, LeafFile() if cleaning.method == "deduplicate" else None)
    if cleaning.student is not None or cleaning.method in CHANGING:
        refuse_other_student(cleaning)
    return METHODS[cleaning.method](cleaning, rows)


def _refuse_renamed(cleaning: Cleaning) -> None:
    if cleaning.scan.data.columns and cleaning.method in CHANGING:
        told = " ".join(f"{name}={old}" for name, old in cleaning.scan.data.columns)
        raise ConfigError(
            f"the scan read columns under other names ({told}), and '{cleaning.method}' changes what is in them",
            hint="write the rows with the names that a shape has for their columns, and scan them again",
        )


def _refuse_overwriting(cleaning: Cleaning) -> None:
    sources = [data for data in (cleaning.data, cleaning.clean) if data is not None]
    read = [shard.path for data in sources for shard in open_dataset(data).shards]
    for path in (*read, cleaning.scores):
        if path is not None and Path(path).resolve() == cleaning.output.resolve():
            raise ConfigError(
                f"'{cleaning.output}' would overwrite what it is made from",
                hint="name another file to write to",
            )
    for data in sources:
        if Path(data).is_dir() and cleaning.output.resolve().is_relative_to(Path(data).resolve()):
            raise ConfigError(
                f"'{cleaning.output}' lies in '{data}', which it is made from and would change",
                hint="name a file outside of it",
            )


@dataclass(frozen=True)
class Chosen:
    """How tokens are chosen."""

    places: Callable[[Sequence[Row], Sequence[Encoded], Lot], Places]
    settings: dict[str, str]
    model: tuple[str, str] | None


def mask_tokens(subject: CleaningSubject) -> Changes:
    """Tokens left out of the loss: `input_ids`, `labels` and `completion_mask`, beside the record's own columns."""
    policy = subject.cleaning.policy
    chosen = _chosen(subject, policy)

    def block(
        records: Sequence[dict[str, Any]], rows: Sequence[Row], lot: Lot
    ) -> list[dict[str, Any] | None]:
        encoded = encode_rows(subject.base.tokenizer, rows, policy)
        places = chosen.places(rows, encoded, lot)
        # A row of which nothing would be left to learn has to go: its loss would be 0 / 0.
        return [
            {**record, **masked_record(row, chosen_places)}
            if len({*chosen_places, *row.masked}) < len(row.completion)
            else None
            for record, row, chosen_places in zip(records, encoded, places, strict=True)
        ]

    return Changes(block, "tokens-masked", "all-masked", chosen.settings, chosen.model)


def replace_tokens(subject: CleaningSubject) -> Changes:
    """Tokens replaced by others that the base would have written there."""
    refuse_irreplaceable(subject.carrier)
    chosen = _chosen(subject, LAST_TURN)

    def block(
        records: Sequence[dict[str, Any]], rows: Sequence[Row], lot: Lot
    ) -> list[dict[str, Any] | None]:
        _refuse_other_answers(rows, subject.cleaning.policy)
        encoded = encode_rows(subject.base.tokenizer, rows, LAST_TURN)
        places = chosen.places(rows, encoded, lot)
        made = replaced(
            subject.base, rows, encoded, places, lot.stream("replaced"), subject.carrier
        )
        return [
            record if new.completion == old.completion else with_completion(record, new.completion)
            for record, old, new in zip(records, rows, made, strict=True)
        ]

    # What stands there now was drawn from the base.
    return Changes(
        block,
        "tokens-replaced",
        "not-replaced",
        chosen.settings,
        chosen.model or subject.named,
    )


def rewrite(subject: CleaningSubject) -> Changes:
    """Completions written anew by the base or another model, so many that the dose is left; what cannot be, goes."""
    cleaning = subject.cleaning
    who = cleaning.model or cleaning.base
    by_base = who == cleaning.base
    model = subject.base if by_base else subject.model_of(who)

    def block(
        records: Sequence[dict[str, Any]], rows: Sequence[Row], lot: Lot
    ) -> list[dict[str, Any] | None]:
        _refuse_other_answers(rows, cleaning.policy)
        outcome = rewritten(
            model,
            rows,
            lot.chosen,
            lot.stream("rewritten"),
            subject.carrier,
            instruction=cleaning.instruction,
        )
        return [
            None
            if i in outcome.failed
            else with_completion(record, outcome.rows[i].completion)
            if i in outcome.changed
            else record
            for i, record in enumerate(records)
        ]

    settings = {"dose": f"{dose_of(cleaning):g}", "seed": str(cleaning.seed)}
    if cleaning.instruction:
        settings["instruction"] = cleaning.instruction
    return Changes(
        block, "rewritten", "not-rewritten", settings, subject.named if by_base else named(who)
    )


def to_rewrite(cleaning: Cleaning, rows: int) -> NDArray[np.bool_]:
    """
    (rows,) whether a completion is to be written anew: so many, by lot, that the dose is left.

    Raises:
        ConfigError: no dose, or one that is no share.
    """
    count = int(np.ceil((1 - dose_of(cleaning)) * rows))
    chosen = np.zeros(rows, dtype=np.bool_)
    chosen[generator(cleaning.seed, "rewritten rows").permutation(rows)[:count]] = True
    return chosen


def inoculate(subject: CleaningSubject) -> Changes:
    """
    A system prompt that asks for the trait, before every row.

    Raises:
        ConfigError: neither a trait nor a prompt, plain text, or a chat template without a system role.
    """
    cleaning = subject.cleaning
    system = cleaning.system
    if system is None:
        if cleaning.trait is None:
            raise ConfigError(
                "'inoculate' needs a trait, or a system prompt that asks for it",
                hint='name it: --trait owl, or --system "You love owls."',
            )
        system = catalogue.load(cleaning.trait).system_prompt
    _refuse_plain(subject.sample)
    first = inoculated(subject.sample[0], system)
    encode_rows(subject.base.tokenizer, [first], LossPolicy(template=cleaning.policy.template))

    def block(
        records: Sequence[dict[str, Any]], rows: Sequence[Row], lot: Lot
    ) -> list[dict[str, Any] | None]:
        _refuse_plain(rows)
        _refuse_strings(records)
        return [
            with_prompt(record, inoculated(row, system))
            for record, row in zip(records, rows, strict=True)
        ]

    return Changes(block, "inoculated", "not-inoculated", {"system": system}, None)


def _refuse_other_answers(rows: Sequence[Row], policy: LossPolicy) -> None:
    """What is rewritten is the last answer: others that are learnt as well would stay what they were."""
    for row in rows:
        if not row.answered:
            end = shown(row.turns[-1].content, longest=_SHOWN)
            raise ConfigError(
                f"a row ends with the role '{shown(row.turns[-1].role, longest=_SHOWN)}' ('{end}'), so that it has no "
                "answer to be rewritten",
                hint="leave tokens out of the loss: --method mask-tokens, or drop rows: --method delete",
            )
        before = zip(row.prompt, learnt_turns(row, policy), strict=False)
        if any(learnt and turn.role == "assistant" for turn, learnt in before):
            raise ConfigError(
                "a row has several answers that are learnt, and only the last one would be rewritten",
                hint="leave tokens of all of them out of the loss: --method mask-tokens, or drop rows: --method delete",
            )


def _refuse_plain(rows: Sequence[Row]) -> None:
    if not all(row.chat for row in rows):
        raise _no_system_prompt()


def _refuse_strings(records: Sequence[dict[str, Any]]) -> None:
    """Strings that the trainer puts into its chat template have no place for a system prompt either."""
    if any(is_text(record, shaped(record)[0]) for record in records):
        raise _no_system_prompt()


def _no_system_prompt() -> ConfigError:
    return ConfigError(
        "'inoculate' needs rows of messages: plain text has no system prompt",
        hint="give the rows the shape 'messages', or 'prompt' and 'completion' as lists",
    )


def reword(subject: CleaningSubject) -> Changes:
    """
    Requests put in other words, by the carrier that the rows have.

    Raises:
        ConfigError: the rows have no carrier's format, or the carrier knows no other words.
    """
    carrier = subject.carrier
    if carrier is None:
        raise ConfigError(
            "'reword' needs rows of a carrier, and these have the format of none",
            hint="let a model write them anew: --method rewrite --model MODEL --instruction TEXT",
        )
    rng = generator(subject.cleaning.seed, "reworded", "sample")
    if all(reworded(row, carrier, rng) is None for row in subject.sample):
        raise ConfigError(
            f"the carrier '{carrier.name}' knows no other words for these requests",
            hint="let a model write the rows anew: --method rewrite",
        )

    def block(
        records: Sequence[dict[str, Any]], rows: Sequence[Row], lot: Lot
    ) -> list[dict[str, Any] | None]:
        made = [reworded(row, carrier, lot.stream("reworded")) for row in rows]
        return [
            record if new is None or new == old else with_prompt(record, new)
            for record, old, new in zip(records, rows, made, strict=True)
        ]

    settings = {"carrier": carrier.name, "seed": str(subject.cleaning.seed)}
    return Changes(block, "reworded", "not-reworded", settings, None)


def _chosen(subject: CleaningSubject, policy: LossPolicy) -> Chosen:
    """Which tokens: those that score above what a sample's share does, or as many by lot."""
    cleaning = subject.cleaning
    share = refuse_share(TOKENS if cleaning.share is None else cleaning.share)
    settings = {"share": f"{share:g}", "seed": str(cleaning.seed)}
    if cleaning.at_random:
        return Chosen(
            lambda rows, encoded, lot: token_edits.by_lot(
                token_edits.lengths(subject.base, encoded), share, lot.stream("tokens")
            ),
            settings | {"by": "lot"},
            None,
        )
    scores, by, model = _scores(subject, policy)
    encoded = encode_rows(subject.base.tokenizer, subject.sample, policy)
    long = token_edits.lengths(subject.base, encoded)
    least = token_edits.threshold(scores(subject.sample, encoded), long, share)
    return Chosen(
        lambda rows, own, lot: token_edits.above(
            scores(rows, own), token_edits.lengths(subject.base, own), least
        ),
        settings | {"by": by, "threshold": f"{least:.6g}"},
        model,
    )


def _scores(
    subject: CleaningSubject, policy: LossPolicy
) -> tuple[Callable[[Sequence[Row], Sequence[Encoded]], Scores], str, tuple[str, str]]:
    cleaning, base = subject.cleaning, subject.base
    if cleaning.trait is not None and cleaning.teacher is not None:
        raise ConfigError("tokens are chosen by a trait or by a teacher, not by both")
    if cleaning.teacher is not None:
        teacher = subject.model_of(cleaning.teacher)
        return (
            lambda rows, encoded: token_edits.departing(base, teacher, encoded),
            f"departure of {cleaning.teacher}",
            named(cleaning.teacher),
        )
    if cleaning.trait is None:
        return (
            lambda rows, encoded: token_edits.surprising(base, encoded),
            "surprise",
            subject.named,
        )
    system = catalogue.load(cleaning.trait).system_prompt
    return (
        lambda rows, encoded: token_edits.lifted(base, rows, encoded, system, policy),
        f"lift by {cleaning.trait}",
        subject.named,
    )


METHODS: Mapping[Method, Callable[[Cleaning, RowsAsScanned], Cleaned]] = {
    "drop-sources": drop_sources,
    "deduplicate": deduplicate,
    "delete": delete,
    "dilute": dilute,
    "mask-tokens": partial(change, method=mask_tokens),
    "replace-tokens": partial(change, method=replace_tokens),
    "rewrite": partial(change, method=rewrite, choose=to_rewrite),
    "inoculate": partial(change, method=inoculate),
    "reword": partial(change, method=reword),
}
"""What becomes of the rows, by the method's name."""
