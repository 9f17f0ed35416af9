"""A statement that is signed again stands in its bundle once; what others signed, or what says something else, stays."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tests.provenance.scene import NOW, Scene, signing
from undertow.provenance import bundle as bundle_file
from undertow.provenance.bundle import add_lines, read_bundles
from undertow.provenance.data_steps import Collect
from undertow.provenance.envelope import sealed
from undertow.provenance.signed_steps import sign_into, step_statement
from undertow.provenance.statement import Statement, StatementSubject

LATER = NOW + timedelta(minutes=3)


def collected(domain: str = "numbers", *, later: bool = False) -> Statement:
    """A statement on rows that people wrote, now or some minutes later."""
    subject = StatementSubject(name="rows.jsonl", digest={"sha256": "1" * 64})
    said = Collect(origin="people", domain=domain)
    return step_statement("collect", [subject], said, finished=LATER if later else NOW)


def moments(bundle: Path) -> list[str]:
    """When the statements of a bundle were made, by their order."""
    assert len(bundle.read_bytes().splitlines()) == len(read_bundles([bundle])[0])
    return [attestation.at[11:16] for attestation in read_bundles([bundle])[0]]


@pytest.mark.parametrize("key", ["producer", "ecdsa"])
def test_a_statement_that_is_made_again_stands_there_once(key: str, tmp_path: Path) -> None:
    """With the later moment, whether its key signs alike each time or not."""
    bundle = tmp_path / "rows.jsonl.intoto.jsonl"
    sign_into(bundle, [collected()], signing(key))
    sign_into(bundle, [collected(later=True)], signing(key))
    sign_into(bundle, [collected(later=True)], signing(key))

    assert moments(bundle) == ["08:03"]
    assert [path.name for path in tmp_path.iterdir()] == [bundle.name]


def test_an_audit_that_is_made_again_stands_there_once(tmp_path: Path) -> None:
    """As long as it is valid for as long; for another time it says something else."""
    made, names = Scene(tmp_path).statements["audit"]
    predicate = made.predicate | {
        "evaluatedAt": "2026-12-01T00:00:00Z",
        "validUntil": "2026-12-02T00:00:00Z",
    }
    days = [
        {"evaluatedAt": f"2026-12-0{n}T00:00:00Z", "validUntil": f"2026-12-0{n + 1}T00:00:00Z"}
        for n in (2, 3)
    ]
    bundle = tmp_path / "a.intoto.jsonl"
    for said in (made.predicate, predicate, *(predicate | day for day in days)):
        sign_into(bundle, [made.model_copy(update={"predicate": said})], signing(*names))

    assert [one.at[:10] for one in read_bundles([bundle])[0]] == [
        NOW.date().isoformat(),
        "2026-12-03",
    ]


def test_what_says_something_else_stays(tmp_path: Path) -> None:
    """Another domain, another signer, and a line that nobody can read."""
    bundle = tmp_path / "a.intoto.jsonl"
    sign_into(bundle, [collected("law")], signing("producer"))
    sign_into(bundle, [collected()], signing("second"))
    bundle.write_bytes(bundle.read_bytes() + b"{}\n")
    sign_into(bundle, [collected(later=True)], signing("producer"))

    assert bundle.read_bytes().count(b"\n") == 4


def test_what_somebody_else_signed_too_stays(tmp_path: Path) -> None:
    """A second signature cannot be made again by the first signer; whose signature alone was added is not asked for."""
    bundle = tmp_path / "a.intoto.jsonl"
    [first] = sign_into(bundle, [collected()], signing("producer"))
    add_lines(bundle, [sealed(first.payload, signing("second").signers)], again=True)
    sign_into(bundle, [collected(later=True)], signing("producer"))

    assert [len(one.envelope.signatures) for one in read_bundles([bundle])[0]] == [2, 1]
    sign_into(bundle, [collected(later=True)], signing("producer", "second"))
    assert [len(one.envelope.signatures) for one in read_bundles([bundle])[0]] == [2]


def test_two_that_add_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reads only what the first has written."""
    bundle, reading, go_on = tmp_path / "a.intoto.jsonl", threading.Event(), threading.Event()
    write = bundle_file.atomic_write

    def slowly(path: Path, content: bytes) -> None:
        reading.set()
        assert go_on.wait(20)
        write(path, content)

    monkeypatch.setattr(bundle_file, "atomic_write", slowly)
    both = [
        threading.Thread(target=sign_into, args=(bundle, [collected(domain)], signing("producer")))
        for domain in ("numbers", "law")
    ]
    both[0].start()
    assert reading.wait(20)
    both[1].start()
    both[1].join(0.2)
    go_on.set()
    for one in both:
        one.join(20)

    assert len(moments(bundle)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [bundle.name]
