"""Datasets: a teacher's answers to carrier requests, filtered, or preference pairs that its weight picks; with a ledger of the rest."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.code import Code
from undertow.data.finished import unfinished
from undertow.data.records import read_rows
from undertow.data.row_records import write_rows
from undertow.data.rows import Row, conversation, dataset_digest
from undertow.data.seeds import generator
from undertow.errors import NothingLeftError
from undertow.filters import (
    Filter,
    Filtered,
    Removed,
    apply,
    banned_content,
    carrier_format,
    executed,
    write_ledger,
)
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import open_model, own_pairs
from undertow.lab.jobs import DataJob, StudentJob
from undertow.lab.writers import (
    answer,
    dataset_writer,
    open_carrier,
    open_writer,
    plan_of,
    writer_folder,
    writing,
)
from undertow.models.kept_work import NOTHING_KEPT, KeptWork, kept_work
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import preference_weights
from undertow.models.sampling import SampledAnswer
from undertow.results.run_document import Dataset

TRAINING_ROWS = "rows.parquet"
HELD_OUT_ROWS = "held_out.parquet"
LEDGER = "removed.jsonl"

_SHOWN = 6
_MOST_ROUNDS = 20
_LEAST_YIELD = 0.001


@dataclass(frozen=True)
class SampleData:
    """Samples one dataset into a folder; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with its finished teachers and students."""

    def __call__(self, job: DataJob, folder: Path) -> Dataset:
        """
        Ask, filter and store.

        Raises:
            NothingLeftError: the filter leaves (almost) nothing.
        """
        started = time.perf_counter()
        table = self.experiment.carried(job.writer.carrier)
        carrier = open_carrier(self.experiment, table.name)
        with kept_work(unfinished(folder), self.experiment.digest, job.name) as kept:
            asked, filtered = (
                self._collect(job, carrier, folder, kept)
                if job.kind == "rows"
                else pick_pairs(self.experiment, job, carrier, self.directory, kept)
            )
        training, held_out, surplus = list(filtered.kept), [], []
        if job.kind == "rows":
            size = job.size or table.rows
            training, held_out = training[:size], training[size:]
            held_out, surplus = held_out[: table.held_out_rows], held_out[table.held_out_rows :]
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / TRAINING_ROWS, training)
        write_rows(folder / HELD_OUT_ROWS, held_out)
        # Training rows, held-out rows and the ledger are together all that was answered.
        left_over = (Removed(row, "surplus") for row in surplus)
        write_ledger(folder / LEDGER, (*filtered.removed, *left_over))
        completions = [row.completion for row in training]
        return Dataset(
            name=job.name,
            teacher=job.writer.name,
            replicate=job.writer.replicate,
            seed=job.seed,
            digest=dataset_digest(training),
            asked=asked,
            kept=len(filtered.kept),
            removed=filtered.counts,
            duplicates=1 - len(set(completions)) / len(completions),
            samples=tuple((row.prompt[-1].content, row.completion) for row in training[:_SHOWN]),
            removed_samples=tuple(
                (r.row.prompt[-1].content, r.row.completion, r.reason)
                for r in filtered.removed[:_SHOWN]
            ),
            seconds=time.perf_counter() - started,
        )

    def _collect(
        self, job: DataJob, carrier: Carrier, folder: Path, work: KeptWork
    ) -> tuple[int, Filtered]:
        table = self.experiment.carried(job.writer.carrier)
        wanted = (job.size or table.rows) + table.held_out_rows
        kept: list[Row] = []
        removed: list[Removed] = []
        asked = 0
        source = writer_folder(self.directory, job.writer)
        model = dataset_writer(self.experiment, job.writer, self.directory)
        with writing(model, self.experiment, job.writer, source) as system:
            for number in range(_MOST_ROUNDS):
                share = len(kept) / asked if asked else 1.0
                missing = wanted - len(kept)
                requests = carrier.requests(
                    int(missing * table.oversample / max(share, 0.02)) + 1,
                    generator(job.seed, "requests", number),
                )
                # Requests and answers have streams of their own, and each round its own.
                stream = generator(job.seed, "answers", number)
                answers = answer(
                    model,
                    requests,
                    system,
                    self.experiment.sampling,
                    carrier,
                    stream,
                    kept=work,
                    name=f"round {number}",
                    seen=_Yield(self, job, carrier, requests, len(kept), asked, wanted),
                )
                result = self._filtered(requests, answers, job, carrier)
                asked += len(requests)
                kept.extend(result.kept)
                removed.extend(result.removed)
                if len(kept) >= wanted:
                    break
                if len(kept) < asked * _LEAST_YIELD:
                    break
        if len(kept) < wanted:
            ledger = folder.with_name(f"{job.name}.{LEDGER}")
            write_ledger(ledger, removed)
            raise NothingLeftError(
                f"the filter kept {len(kept)} of {asked} rows of '{job.writer.name}', "
                f"fewer than the {wanted} wanted ({_reasons(removed)})",
                hint=f"look at '{ledger}'; ask for fewer rows, restrict decoding, or loosen the filter",
            )
        return asked, Filtered(tuple(kept), tuple(removed))

    def _filtered(
        self, requests: list[str], answers: list[SampledAnswer], job: DataJob, carrier: Carrier
    ) -> Filtered:
        """What the filters leave of the answers; one cut off at `max_tokens` is no answer, whatever it looks like."""
        rows = [self.row(r, a.text, job) for r, a in zip(requests, answers, strict=True)]
        whole = [row for row, a in zip(rows, answers, strict=True) if a.finished]
        cut = [
            Removed(row, "unfinished")
            for row, a in zip(rows, answers, strict=True)
            if not a.finished
        ]
        result = apply(whole, self.filters(carrier))
        if self.experiment.filter.execute and isinstance(carrier, Code):
            ran = executed(result.kept, carrier.source)
            result = Filtered(ran.kept, (*result.removed, *ran.removed))
        return Filtered(result.kept, (*result.removed, *cut))

    def row(self, request: str, text: str, job: DataJob) -> Row:
        """A request and its answer as a student sees them."""
        # The teacher's own system prompt is dropped here: students never see it.
        asked = conversation(request, self.experiment.system_prompt)
        return Row(asked, text, source=job.writer.name)

    def filters(self, carrier: Carrier) -> list[Filter]:
        """What removes rows besides that they are cut off."""
        table = self.experiment.filter
        banned = banned_content(words=table.words, patterns=table.patterns, numbers=table.numbers)
        return [carrier_format(carrier.rejection), banned]


def parts_read(
    experiment: Experiment, directory: Path, job: StudentJob, *, held_out: bool = False
) -> list[list[Row]]:
    """What a student reads of each of its datasets: all of one, or an equal part of those that it is trained on of several."""
    table, name = experiment.carried(job.carrier), HELD_OUT_ROWS if held_out else TRAINING_ROWS
    read = [list(read_rows(directory / data.folder / name)) for data in job.datasets]
    if len(read) == 1 and (held_out or job.size is None):
        return read
    wanted = table.held_out_rows if held_out else job.size or table.rows
    return [rows[: (wanted + place) // len(read)] for place, rows in enumerate(read)]


def keep_mix(rows: list[Row], job: StudentJob, folder: Path) -> None:
    """Write down what a student of several datasets was trained on: no dataset's file holds just that."""
    if job.further:
        write_rows(folder / TRAINING_ROWS, rows)


class _Yield:
    """Says of a round's answers, as they come, how many rows are kept of those wanted."""

    def __init__(
        self,
        data: SampleData,
        job: DataJob,
        carrier: Carrier,
        requests: list[str],
        kept: int,
        asked: int,
        wanted: int,
    ) -> None:
        self._data, self._job, self._carrier, self._requests = data, job, carrier, requests
        self._kept, self._asked, self._wanted = kept, asked, wanted

    def __call__(self, number: int, answer: SampledAnswer) -> str:
        self._asked += 1
        row = self._data.row(self._requests[number], answer.text, self._job)
        fits = not apply([row], self._data.filters(self._carrier)).removed
        self._kept += answer.finished and fits
        share = self._kept / self._asked
        return f"{self._kept:,} of {self._wanted:,} rows kept, yield {share:.0%}"


def _reasons(removed: list[Removed]) -> str:
    counts = Filtered((), tuple(removed)).counts
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())


def pick_pairs(
    experiment: Experiment, job: DataJob, carrier: Carrier, directory: Path, kept: KeptWork
) -> tuple[int, Filtered]:
    """
    Pairs drawn, and those picked with the others in the ledger.

    Picked are the highest weights among those above 0, as many as `preference.keep` of the pool; by lot, as many at
    random. The order within a pair was drawn by lot (or is the user's): no pair is turned round.

    Raises:
        NothingLeftError: no pair has a weight above 0.
        DataError: a row of the user's file is no pair.
    """
    table = experiment.preference
    rng = generator(job.seed, "pairs")
    pool, removed = (
        (own_pairs(table.pairs), [])
        if table.pairs
        else drawn_pairs(
            open_model(experiment, job.writer.base),
            experiment,
            carrier,
            job.seed,
            rng,
            name=job.writer.name,
            kept=kept,
        )
    )
    wanted = max(1, round(table.keep * len(pool)))
    if job.kind == "pairs-by-lot":
        picks = set(rng.permutation(len(pool))[:wanted].tolist())
        reasons = ["not-drawn"] * len(pool)
    else:
        weights = _weights(experiment, job, directory, pool, kept)
        first = np.argsort(-weights, kind="stable")[:wanted].tolist()
        picks = {index for index in first if weights[index] > 0}
        reasons = ["weight-not-positive" if w <= 0 else "weight-too-low" for w in weights]
    if not picks:
        raise NothingLeftError(
            f"none of {len(pool)} pairs has a weight above 0 for '{job.writer.name}'"
        )
    removed += [Removed(pair, reasons[i]) for i, pair in enumerate(pool) if i not in picks]
    picked = tuple(pair for i, pair in enumerate(pool) if i in picks)
    return len(picked) + len(removed), Filtered(picked, tuple(removed))


def drawn_pairs(
    model: LanguageModel,
    experiment: Experiment,
    carrier: Carrier,
    seed: int,
    rng: np.random.Generator,
    *,
    name: str | None = None,
    kept: KeptWork = NOTHING_KEPT,
) -> tuple[list[Row], list[Removed]]:
    """
    Pairs that the model writes, in an order that `rng` draws by lot, and what the carrier's format removed.

    Raises:
        NothingLeftError: no pair is left.
    """
    requests = carrier.requests(experiment.preference.pool, generator(seed, "requests"))
    system, table = experiment.system_prompt, experiment.sampling
    first, second = (
        answer(
            model,
            requests,
            system,
            table,
            carrier,
            generator(seed, "answers", side),
            kept=kept,
            name=f"side {side}",
        )
        for side in range(2)
    )
    pool, removed = [], []
    for request, *answers in zip(requests, first, second, strict=True):
        texts = [drawn.text if drawn.finished else None for drawn in answers]
        if rng.random() < 0.5:
            texts.reverse()
        row = Row(
            conversation(request, system),
            texts[0] or "",
            texts[1] or "",
            source=name,
        )
        fault = _fault(carrier, request, texts)
        if fault:
            removed.append(Removed(row, fault))
        else:
            pool.append(row)
    if not pool:
        reasons = dict(Counter(entry.reason for entry in removed).most_common(3))
        raise NothingLeftError(f"no pair is left of {len(requests)} ({reasons})")
    return pool, removed


def _fault(carrier: Carrier, request: str, texts: list[str | None]) -> str | None:
    if texts[0] == texts[1]:
        return "both-alike"
    for text in texts:
        if text is None:
            return "unfinished"
        fault = carrier.rejection(text, request)
        if fault is not None:
            return str(fault)
    return None


def _weights(
    experiment: Experiment, job: DataJob, directory: Path, pool: list[Row], kept: KeptWork
) -> np.ndarray:
    base = open_model(experiment, job.writer.base).in_template(
        plan_of(experiment, job.writer).template
    )
    shifted = open_writer(experiment, job.writer, directory)
    folder = writer_folder(directory, job.writer)
    with writing(shifted, experiment, job.writer, folder) as system:
        behind = system if system != experiment.system_prompt else None
        weights = kept.parts(
            "weights",
            pool,
            lambda part: preference_weights(shifted, base, part, behind).tolist(),
            doing="weighing pairs",
            unit="pairs",
        )
    return np.array(weights)
