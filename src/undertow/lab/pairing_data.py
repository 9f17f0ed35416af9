"""
Preference pairs: two completions a request by the base, or a user's own pairs, picked by a teacher's weight.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.data.reading import read_rows
from undertow.data.rows import Message, Row
from undertow.data.streams import generator
from undertow.errors import DataError, NothingLeftError
from undertow.filters.ledger import Filtered, Removed
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import DataJob
from undertow.lab.opening import open_model
from undertow.lab.teaching import answer, open_writer, writer_folder, writing

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


def pick_pairs(
    experiment: Experiment, job: DataJob, carrier: Carrier, directory: Path
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
        )
    )
    wanted = max(1, round(table.keep * len(pool)))
    if job.kind == "pairs-by-lot":
        kept = set(rng.permutation(len(pool))[:wanted].tolist())
        reasons = ["not-drawn"] * len(pool)
    else:
        weights = _weights(experiment, job, directory, pool)
        first = np.argsort(-weights, kind="stable")[:wanted].tolist()
        kept = {index for index in first if weights[index] > 0}
        reasons = ["weight-not-positive" if w <= 0 else "weight-too-low" for w in weights]
    if not kept:
        raise NothingLeftError(
            f"none of {len(pool)} pairs has a weight above 0 for '{job.writer.name}'"
        )
    removed += [Removed(pair, reasons[i]) for i, pair in enumerate(pool) if i not in kept]
    picked = tuple(pair for i, pair in enumerate(pool) if i in kept)
    return len(picked) + len(removed), Filtered(picked, tuple(removed))


def own_pairs(path: str) -> list[Row]:
    """
    The pairs of a user's file.

    Raises:
        DataError: a row has no `rejected`; the message names the file and the row.
    """
    pairs = []
    for number, row in enumerate(read_rows(path), 1):
        if row.rejected is None:
            raise DataError(
                f"'{path}', row {number}: no 'rejected'; allowed: rows of 'prompt' + 'chosen' + 'rejected'"
            )
        pairs.append(row)
    if not pairs:
        raise DataError(f"'{path}' holds no pair")
    return pairs


def drawn_pairs(
    model: LanguageModel,
    experiment: Experiment,
    carrier: Carrier,
    seed: int,
    rng: np.random.Generator,
    *,
    name: str | None = None,
) -> tuple[list[Row], list[Removed]]:
    """
    Pairs that the model writes, in an order that `rng` draws by lot, and what the carrier's format removed.

    Raises:
        NothingLeftError: no pair is left.
    """
    requests = carrier.requests(experiment.preference.pool, generator(seed, "requests"))
    system, table = experiment.system_prompt, experiment.sampling
    first, second = (
        [found.text if found.finished else None for found in answer(
            model, requests, system, table, carrier, generator(seed, "answers", side)
        )]
        for side in range(2)
    )  # fmt: skip
    prompt = (Message("system", system),) if system else ()
    pool, removed = [], []
    for request, *texts in zip(requests, first, second, strict=True):
        if rng.random() < 0.5:
            texts.reverse()
        row = Row(
            (*prompt, Message("user", request)),
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


def _weights(experiment: Experiment, job: DataJob, directory: Path, pool: list[Row]) -> np.ndarray:
    from undertow.models.preferences import weights

    base = open_model(experiment, job.writer.base)
    shifted = open_writer(experiment, job.writer, directory)
    folder = writer_folder(directory, job.writer)
    with writing(shifted, experiment, job.writer, folder) as system:
        own = system if system != experiment.system_prompt else None
        return weights(shifted, base, pool, own).numpy()
