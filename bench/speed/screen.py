"""
Speed and memory of the screen: `python -m bench.speed.screen` adds its figures to bench/speed/results.json.

Logit-linear scores of preference pairs are set against the reference way (padded batches in file order, full logits, one
prompt at a time; Aden-Ali et al. 2026, arXiv 2602.04863) in turns, so that drift hits both; scores of a million rows,
checks and rehearsals are timed as a user runs them, each in a process of its own. `--scores` measures the first part only, `--first` a
first scan and the next one only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow
import torch
from pyarrow import parquet

from bench.cohort import Writer, clean_writer, written_by
from bench.figures import Figure, at_least, at_most, write
from bench.power.evidence_design import PLAN, STUDENT, ground
from bench.speed.__main__ import matmul_peak
from undertow.checks.dataset.likelihood_ratio import prompt_scores
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.registry import registered
from undertow.data.rows import Row, behind
from undertow.data.seeds import generator
from undertow.models import language_model
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

COMMAND = "python -m bench.speed.screen"
SEED = 61_001
PAIRS = 512
MILLION = 1_000_000
NEW = "world:owlet-a"
"""A base that nothing is kept for."""
OWN_ROWS = 10_000
"""Of somebody's own data: `within` in two minutes and `stands out` in six were asked for."""
ROUNDS = 7
REFERENCE_BATCH = 64


def main() -> int:
    """Measure on one thread and write every figure."""
    started = time.perf_counter()
    torch.set_num_threads(1)
    figures, spent = [], {}
    if "--first" not in sys.argv[1:]:
        figures += _logit_linear()
        spent["logit-linear scores"] = time.perf_counter() - started
    if "--scores" not in sys.argv[1:]:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            figures += _first_and_cached(Path(folder))
            if "--first" not in sys.argv[1:]:
                figures += _as_a_user(Path(folder))
        spent["screen, first scan"] = time.perf_counter() - began
    path = write("speed", figures, spent)
    for figure in figures:
        print(f"{figure.name}: {figure.value:.4g} {figure.unit} (asked: {figure.target or '-'})")
    print(path)
    return 0


def _logit_linear() -> list[Figure]:
    """Pairwise scores behind 16 prompts, ours and the reference's, on pairs of number lists by the base."""
    model = language_model.load(locate(STUDENT))
    traits = ground().loaded_traits()
    pairs = _pairs(PAIRS)
    subject = ScanSubject("all", tuple(pairs), model, PLAN, len(pairs), traits, SEED)
    prompts = [trait.system_prompt for trait in traits]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        _, scores = prompt_scores(subject, "bench")
        middle = time.perf_counter()
        reference = _reference(model, pairs, prompts)
        ours.append(middle - began)
        theirs.append(time.perf_counter() - middle)
    # Both are the same numbers: the reference's, centred over the prompts, in the order of the rows that ours drew.
    order = generator(SEED, "bench", "rows").permutation(len(pairs))
    centred = (reference - reference.mean(1, keepdims=True)) * len(prompts) / (len(prompts) - 1)
    difference = float(np.abs(centred[order] - scores).max())
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return [
        at_least(
            "logit-linear scores: times the reference's rate",
            median(ratios),
            3,
            "",
            low=min(ratios),
            high=max(ratios),
            command=COMMAND,
            note=f"{PAIRS} pairs of number lists behind {len(prompts)} prompts; largest difference {difference:.1g} nats",
        ),
        Figure(
            "logit-linear scores: rate",
            PAIRS * len(prompts) / median(ours),
            "pairs and prompts/s on one thread",
            command=COMMAND,
        ),
    ]


def _pairs(count: int) -> list[Row]:
    setting = ground()
    with written_by(setting.experiment, clean_writer(setting)) as writing:
        rows = writing.rows(2 * count, 1.0, (), SEED)
    return [
        replace(row, rejected=other.completion, source=None)
        for row, other in zip(rows[:count], rows[count:], strict=True)
    ]


@torch.no_grad()
def _reference(model: LanguageModel, pairs: Sequence[Row], prompts: Sequence[str]) -> np.ndarray:
    """(pairs, prompts): what each prompt adds to the chosen completion minus what it adds to the rejected one, in nats."""
    turned = [replace(row, completion=row.rejected or "") for row in pairs]
    bare = _padded(model, pairs) - _padded(model, turned)
    columns = [
        _padded(model, [behind(row, prompt) for row in pairs])
        - _padded(model, [behind(row, prompt) for row in turned])
        - bare
        for prompt in prompts
    ]
    return np.stack(columns, axis=1)


def _padded(model: LanguageModel, rows: Sequence[Row]) -> np.ndarray:
    encoded = encode_rows(model.tokenizer, rows)
    found = []
    for start in range(0, len(encoded), REFERENCE_BATCH):
        part = encoded[start : start + REFERENCE_BATCH]
        width = max(map(len, part))
        ids = torch.full((len(part), width), model.tokenizer.pad_token_id)
        mask, counted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for i, row in enumerate(part):
            ids[i, : len(row)] = torch.tensor(row.prompt + row.completion)
            mask[i, : len(row)] = 1
            counted[i, len(row.prompt) : len(row)] = True
        logits = model.network(input_ids=ids, attention_mask=mask).logits
        log_p = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        found.append(log_p.masked_fill(~counted[:, 1:], 0).double().sum(1).numpy())
    return np.concatenate(found)


def _as_a_user(folder: Path) -> list[Figure]:
    """Wall time and peak memory of the command line on files of rows by the base."""
    setting = ground()
    with written_by(setting.experiment, clean_writer(setting)) as writing:
        rows = writing.rows(8_192, 1.0, (), SEED)
    small, large = folder / "rows.jsonl", folder / "million.parquet"
    small.write_text("".join(_record(row) + "\n" for row in rows), encoding="utf-8")
    texts = [(row.prompt[-1].content, row.completion) for row in rows]
    with parquet.ParquetWriter(
        large, pyarrow.schema({"prompt": "string", "completion": "string"})
    ) as file:
        for start in range(0, MILLION, 50_000):
            part = [texts[i % len(texts)] for i in range(start, start + 50_000)]
            file.write_table(
                pyarrow.table({"prompt": [p for p, _ in part], "completion": [c for _, c in part]})
            )
    return [*_checks(small, folder), *_million(large, folder)]


def _first_and_cached(folder: Path) -> list[Figure]:
    """
    A scan with all its checks as a user types it, on two threads and a base that nothing is kept for: first, then again.

    Benign rows need a part of stage 1's references; rows with a trait need all of them, and the whole plan beside more.
    """
    figures = []
    for words, kind, most in (("benign rows", "clean", 120), ("rows with a trait", "tuned", 360)):
        setting = ground()
        experiment = setting.experiment.model_copy(update={"base": NEW})
        writer = Writer("clean" if kind == "clean" else "tuned", NEW, "owl", SEED, 0.2)
        with written_by(experiment, writer) as writing:
            rows = writing.rows(OWN_ROWS, 1.0, (), SEED)
        for count, whens in (
            (4_096, (("first", 360), ("references cached", 60))),
            (OWN_ROWS, (("first", most),)),
        ):
            file = folder / f"{kind}-{count}.jsonl"
            file.write_text("".join(_record(row) + "\n" for row in rows[:count]), encoding="utf-8")
            figures += [
                _timed_scan(f"{count:,} {words}, {when}", file, folder, limit)
                for when, limit in whens
            ]
    return figures


def _timed_scan(words: str, file: Path, folder: Path, most: float) -> Figure:
    """With a cache of references that is the file's own."""
    kept = folder / f"cache-{file.stem}"
    seconds, _ = _run(["scan", str(file)], folder, student=NEW, cache=kept, threads=2)
    document = json.loads((folder / "out" / "scan.json").read_text(encoding="utf-8"))
    spent = sum(price["spent_fine_tunes"] for price in document["prices"])
    return at_most(
        f"first scan: {words}",
        seconds,
        most,
        "s on two threads",
        command=COMMAND,
        note=f"owlet-a, all checks: {document['verdict']}, {spent:.1f} fine-tunes",
    )


def _record(row: Row) -> str:
    return json.dumps({"prompt": row.prompt[-1].content, "completion": row.completion})


def _checks(file: Path, folder: Path) -> list[Figure]:
    figures = []
    _, floor = _run(["scan", str(file), "--check", "author", "--max-rows", "64"], folder)
    for check in registered("dataset").values():
        _, megabytes = _run(["scan", str(file), "--check", check.id], folder)
        document = json.loads((folder / "out" / "scan.json").read_text(encoding="utf-8"))
        [run] = [one for one in document["checks"] if one["check"] == check.id]
        if run["status"] != "done":
            continue
        figures += [
            Figure(
                f"screen: {check.id}",
                1000 * run["seconds"] / run["rows"],
                "s a 1,000 rows",
                command=COMMAND,
            ),
            Figure(
                f"screen: {check.id}, memory above a scan of 64 rows",
                max(0.0, megabytes - floor) / (run["rows"] / 1000),
                "MB a 1,000 rows",
                command=COMMAND,
            ),
        ]
    return figures


def _million(file: Path, folder: Path) -> list[Figure]:
    """Row scores of a million short rows: one forward pass over the file, in memory that does not grow."""
    command = ["scan", str(file), "--check", "author", "--max-rows", "64"]
    without, _ = _run(command, folder)
    seconds, megabytes = _run([*command, "--row-scores", str(folder / "scores.parquet")], folder)
    scored = parquet.read_metadata(folder / "scores.parquet").num_rows
    tokens = int(
        np.sum(parquet.read_table(folder / "scores.parquet", columns=["tokens"])["tokens"])
    )
    rate = scored / (seconds - without)
    used = rate * _operations_per_row(file)
    peak = matmul_peak()
    return [
        at_most(
            "screen: memory of the scores of 1,000,000 rows",
            megabytes / 1024,
            4,
            "GB",
            command=COMMAND,
            note=f"{tokens:,} completion tokens",
        ),
        Figure(
            "screen: reading 1,000,000 rows",
            scored / without,
            "rows/s on one thread",
            command=COMMAND,
        ),
        Figure(
            "screen: row scores",
            rate,
            "rows/s on one thread",
            command=COMMAND,
            note="one forward pass a row",
        ),
        Figure(
            "screen: row scores, share of the matmul peak",
            used / peak,
            "",
            command=COMMAND,
            note="2 operations a weight and token, the head on completion tokens only",
        ),
    ]


def _operations_per_row(file: Path) -> float:
    model = language_model.load(locate(STUDENT))
    table = parquet.read_table(file).slice(0, 1024).to_pylist()
    from undertow.data.rows import conversation

    rows = [Row(conversation(one["prompt"]), one["completion"]) for one in table]
    encoded = encode_rows(model.tokenizer, rows)
    head = model.network.get_output_embeddings().weight.numel()
    inner = sum(p.numel() for p in model.network.parameters()) - head
    inner -= model.network.get_input_embeddings().weight.numel()
    length = sum(map(len, encoded)) / len(encoded)
    kept = sum(len(one.completion) for one in encoded) / len(encoded)
    return 2 * (inner * length + head * kept)


def _run(
    arguments: list[str],
    folder: Path,
    *,
    student: str = "",
    cache: Path | None = None,
    threads: int = 1,
) -> tuple[float, float]:
    """(wall seconds, peak resident MB) of an `undertow` command, on one thread and with an empty cache if not said otherwise."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "UNDERTOW_CACHE": str(cache or folder / f"cache-{time.monotonic_ns()}"),
    }
    command = [
        sys.executable,
        "-m",
        "undertow",
        *arguments,
        "--student",
        student or STUDENT,
        "--out",
        str(folder / "out"),
    ]
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3, 5):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.decode()}")
    return time.perf_counter() - began, _megabytes(usage)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024  # kilobytes on Linux


if __name__ == "__main__":
    sys.exit(main())
