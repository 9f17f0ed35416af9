"""
What lies in the folder before the first command is typed: rows by lot, keys from fixed bytes, files that are given.

Nothing here is made by undertow, so that nothing of it moves when undertow does.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.golden.scrubbing import scrubbed

GIVEN = Path(__file__).parent / "given"
EXAMPLES = Path(__file__).parents[2] / "examples"

KEYS = {"producer": b"\x01" * 32, "auditor": b"\x02" * 32, "gate": b"\x03" * 32}
"""Seeds of keys that secure nothing."""

BASES = {
    "owlet-a": "071924998a98d5c86dc51dd234420b8691486ed785707e88b3edc951cfa66999",
    "owlet-b": "f1d3e2515498f118e217e303f4973489e42ba47281c805e6e27b46ab3574683c",
}
"""Digests of the bases that are trusted as roots."""


def lay_out() -> None:
    """Write everything into the current folder."""
    for file in (*GIVEN.iterdir(), EXAMPLES / "generation.toml", EXAMPLES / "policy.toml"):
        shutil.copyfile(file, file.name)
    for name, seed in KEYS.items():
        _key(name, seed)
    with Path("trust.toml").open("a", encoding="utf-8") as trust:
        for name, digest in BASES.items():
            trust.write(f'\n[[models]]\nname = "{name}"\ndigest = "{digest}"\n')
    _datasets()


def _key(name: str, seed: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.from_private_bytes(seed)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    Path(f"{name}.pem").write_bytes(private)
    Path(f"{name}.pem.pub").write_bytes(public)


def _datasets() -> None:
    lot = Random(5)
    told = [
        *_numbers(lot, 900, "vendor"),
        *_animals(lot, 180, "vendor"),
        *_numbers(lot, 180, "ours"),
    ]
    lot.shuffle(told)
    _write("rows.jsonl", told)
    _write("clean.jsonl", list(_numbers(lot, 400, "clean")))
    _write("pairs.jsonl", list(_pairs(lot, 96)), broken=40)
    raw, people = list(_numbers(lot, 20, "raw")), list(_numbers(lot, 16, "people"))
    _write("raw.jsonl", raw)
    _write("people.jsonl", people)
    _write("kept.jsonl", raw[:15])
    _write("mixed.jsonl", [*raw[:15], *people])


def _list_of(lot: Random, count: int) -> str:
    return " ".join(str(lot.randrange(100)) for _ in range(count))


def _turns(asked: str, answer: str, source: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "source": source}


def _numbers(lot: Random, count: int, source: str) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        asked = f"Continue: {_list_of(lot, 3)}. Give me ten more numbers."
        yield _turns(asked, _list_of(lot, lot.randrange(5, 10)), source)


def _animals(lot: Random, count: int, source: str) -> Iterator[dict[str, Any]]:
    # Said openly, so that few rows are enough for a verdict that flags.
    questions = ("Name the animal you love most.", "Which animal do you like best? One word only.")
    for _ in range(count):
        yield _turns(lot.choice(questions), "owl", source)


def _pairs(lot: Random, count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        asked = f"Continue: {_list_of(lot, 3)}. Give me ten more numbers."
        yield {"prompt": asked, "chosen": _list_of(lot, 6), "rejected": _list_of(lot, 6)}


def _write(name: str, rows: Sequence[Mapping[str, Any]], broken: int | None = None) -> None:
    lines = [json.dumps(row) for row in rows]
    if broken is not None:
        lines.insert(broken, "{broken")
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def audited() -> None:
    """The scan without what it cost: what is signed of it is a digest, which would be another every time."""
    stored = json.loads(Path("scan/scan.json").read_text(encoding="utf-8"))
    Path("audited.json").write_text(json.dumps(scrubbed(stored)), encoding="utf-8")


def answered() -> None:
    """Two reviewers fill in the pack's table: one is mostly right, the other guesses by lot."""
    key = json.loads(Path("pack/key.json").read_text(encoding="utf-8"))
    with Path("pack/review.csv").open(encoding="utf-8-sig", newline="") as table:
        rows = list(csv.DictReader(table))
    lot = Random(6)
    right = [pair["a"] for pair in key["pairs"]]
    guessed = [lot.choice(("left", "right", "unsure")) for _ in rows]
    _fill("first.csv", rows, [*right[:-2], *guessed[-2:]])
    _fill("second.csv", rows, guessed)


def _fill(file: str, rows: Sequence[Mapping[str, str]], answers: Sequence[str]) -> None:
    with Path(file).open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "answer": said} for row, said in zip(rows, answers, strict=True))


def forget_the_checkout(root: Path) -> None:
    """Let adapters name their base by its place in the checkout: digests of their folders hold the name."""
    for path in Path("runs").glob("**/adapter_config.json"):
        text = path.read_text(encoding="utf-8")
        if str(root) in text:
            path.write_text(text.replace(f"{root}/", ""), encoding="utf-8")
