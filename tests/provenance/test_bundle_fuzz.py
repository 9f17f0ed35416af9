"""
Parsers of untrusted bytes: whatever comes in, a document or a refusal in words comes out, and nothing is accepted.

`UNDERTOW_FUZZ_SECONDS` makes the last test go on for that long; what it finds belongs into `corpus/`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.provenance.scene import Scene, raw_line
from undertow.errors import InputError
from undertow.policy.rules import load_policy
from undertow.provenance.bundle import read_line
from undertow.provenance.envelope import read_envelope
from undertow.provenance.ledger import read_leaf_ledger
from undertow.provenance.statement import canonical, read_as, signed_json
from undertow.provenance.trust import TrustFile

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refused_or_read(content: bytes, folder: Path) -> None:
    """Each parser on the bytes: an InputError or a value, no other exception."""
    for read in readers(folder):
        with contextlib.suppress(InputError):
            read(content)


def readers(folder: Path) -> list[Callable[[bytes], object]]:
    """Every parser that sees bytes of strangers."""

    def stored(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def reader(content: bytes) -> object:
            path = folder / name
            path.write_bytes(content)
            return read(path)

        return reader

    return [
        lambda content: read_line(content, "x"),
        lambda content: read_line(raw_line(content, ["stranger"]), "x"),
        lambda content: read_as(TrustFile, signed_json(content, "x"), "x"),
        stored("ledger", read_leaf_ledger),
        stored("p.toml", lambda path: load_policy(str(path))),
        stored("p.yaml", lambda path: load_policy(str(path))),
    ]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_refused_in_words(path: Path, tmp_path: Path) -> None:
    """Every committed input ends in an InputError or a value."""
    refused_or_read(path.read_bytes(), tmp_path)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Noise is no document."""
    refused_or_read(content, tmp_path_factory.getbasetemp())


@given(plain)
def test_any_json_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    """JSON of any shape, as an envelope and as a payload."""
    refused_or_read(json.dumps(value).encode(), tmp_path_factory.getbasetemp())


@given(st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(-(2**52), 2**52)))
def test_what_is_canonical_reads_back(table: dict[str, object]) -> None:
    """The canonical spelling loses nothing and is the same when it is made again."""
    if any(
        "\ud800" <= c <= "\udfff"
        for text in (*table, *table.values())
        if isinstance(text, str)
        for c in text
    ):
        return
    content = canonical(table)

    assert signed_json(content, "x") == table
    assert canonical(signed_json(content, "x")) == content


@given(st.data())
def test_no_changed_byte_of_a_payload_is_accepted(data: st.DataObject) -> None:
    """Any other payload under the same signatures verifies by no key."""
    from tests.provenance.scene import signer
    from undertow.provenance.envelope import verified_by

    line = raw_line(b'{"a":"some payload"}', ["producer"])
    table = json.loads(line)
    payload = bytearray(base64.b64decode(table["payload"]))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    table["payload"] = base64.b64encode(bytes(payload)).decode()
    envelope = read_envelope(json.dumps(table).encode(), "x")

    assert verified_by(envelope, {"producer": signer("producer").public_key}) == set()


def test_mutations_of_real_documents_are_refused_in_words(tmp_path: Path) -> None:
    """Honest statements, policies and ledgers with bytes changed, doubled and cut."""
    scene = Scene(tmp_path)
    scene.ask()
    seeds = [path.read_bytes() for path in CORPUS]
    seeds += [made.payload() for made, _ in scene.statements.values()]
    seeds += [(tmp_path / "rows.jsonl.ledger.jsonl").read_bytes()[:600]]
    rng = random.Random(1)
    until = time.monotonic() + float(os.environ.get("UNDERTOW_FUZZ_SECONDS", "0"))
    rounds = 0
    while rounds < 150 or time.monotonic() < until:
        refused_or_read(mutated(rng.choice(seeds), rng), tmp_path)
        rounds += 1


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few random edits."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(found) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(found):
            found[at] = rng.randrange(256)
        elif kind == 1:
            found[at:at] = rng.choice(
                [b'"', b"{", b"[", b"}", b"null", b"1e999", b"\\ud800", b"\xff", b","]
            )
        elif kind == 2:
            found[at : at + rng.randint(1, 20)] = b""
        else:
            found[at:at] = found[max(0, at - rng.randint(1, 40)) : at]
    return bytes(found)
