"""`python -m bench.provenance [PART ...]`: measures and writes `bench/provenance/results.json`."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.figures import Figure, at_least, at_most, measured, tell, write
from tests.provenance.attack_table import as_named, control_allowed, tried
from tests.provenance.attacks import ATTACKS
from tests.provenance.scene import BASE, NOW, Scene, signer, signing
from undertow.policy.gate import compiled_rules, decide
from undertow.policy.rules import load_policy
from undertow.provenance.bundle import bundle_path
from undertow.provenance.envelope import read_envelope, sealed, verified_by
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.signed_steps import dataset, sign_into
from undertow.provenance.statement import StatementSubject
from undertow.provenance.trust import read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.stats.interval import clopper_pearson

ROWS = 1_000_000
SIGNATURES = 2_000
STEPS = 10
WEIGHTS = 1 << 29
"""Bytes of the model whose hashing is timed."""

_REPEATS = 5

IDENTIFY = """
import json, resource, sys, time
from pathlib import Path
if __name__ == "__main__":
    from undertow.provenance.identity import rows_of
    started = time.perf_counter()
    rows = rows_of(Path(sys.argv[1]))
    found = rows.merkle
    seconds = time.perf_counter() - started
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([seconds, own / 2**20, workers / 2**20, rows.count, found]))
"""


def main(parts: list[str]) -> int:
    """Measure everything, or these parts, and store it."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = {
            "rows": lambda: _rows(folder),
            "signatures": _signatures,
            "weights": lambda: _weights(folder),
            "chain": lambda: _chain(folder),
            "attacks": lambda: _attacks(folder),
        }
        figures, seconds = measured(parts, known)
    tell(figures, write("provenance", figures, seconds, load=dict.fromkeys(seconds, load)))
    return 0


def _rows(folder: Path) -> list[Figure]:
    """A million rows of a chat each, canonicalised, hashed and rooted in a fresh process."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for index in range(ROWS):
            file.write(json.dumps(_row(index)) + "\n")
    seconds, own, workers, rows, root = _identified(path)
    size = path.stat().st_size
    table = pa.Table.from_pylist([_row(index) for index in range(ROWS // 10)])
    parquet.write_table(table, folder / "rows.parquet", row_group_size=10_000)
    slower, *_, tenth, _ = _identified(folder / "rows.parquet")
    path.unlink()
    note = f"{rows} rows, {size / 1e6:.0f} MB of JSON Lines, root {root[:16]}…"
    return [
        at_most("rows: a million rows identified", seconds, 10, "s", note=note),
        at_most("rows: memory, own and twice the largest worker's", own + 2 * workers, 1, "GB"),
        Figure("rows: Parquet, for a million rows", slower * ROWS / tenth, "s"),
    ]


def _row(index: int) -> dict[str, Any]:
    asked = f"Continue this list: {index}, {index * 7 % 1000}, {index * 13 % 997}. Add at most ten values, separated by commas."
    told = ", ".join(str((index * k) % 991) for k in range(1, 30))
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": told}],
        "source": "teacher",
    }


def _identified(path: Path) -> list[Any]:
    # A script of its own, since workers that are spawned import the main module again.
    script = path.with_suffix(".py")
    script.write_text(IDENTIFY)
    done = subprocess.run(
        [sys.executable, str(script), str(path)], capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def _signatures() -> list[Figure]:
    lines = [
        sealed(
            json.dumps({"number": index, "padding": "x" * 2000}).encode(), [signer("producer")]
        ).line()
        for index in range(SIGNATURES)
    ]
    keys = {name: signer(name).public_key for name in ("producer", "auditor")}

    def check() -> None:
        for line in lines:
            assert verified_by(read_envelope(line, "x"), keys) == {"producer"}

    seconds = _least(check)
    return [at_most(f"signatures: {SIGNATURES:,} verified", seconds, 1, "s")]


def _weights(folder: Path) -> list[Figure]:
    model = folder / "model"
    model.mkdir()
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [WEIGHTS], "data_offsets": [0, WEIGHTS]}}
    ).encode()
    block = os.urandom(1 << 20)
    with (model / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(WEIGHTS >> 20):
            file.write(block)

    def plain() -> None:
        digest = hashlib.sha256()
        for _ in range(WEIGHTS >> 20):
            digest.update(block)

    weights_digest(model)  # so that the file is in memory for all repeats
    ratios = []
    for _ in range(_REPEATS):
        bare = _once(plain)
        ratios.append(bare / _once(lambda: weights_digest(model)))
    share = statistics.median(ratios)
    (model / "model.safetensors").unlink()
    rate = WEIGHTS / 1e9 / bare
    return [
        at_least(
            "weights: share of hashlib's rate", share, 0.9, "", low=min(ratios), high=max(ratios)
        ),
        Figure("weights: hashlib's own rate", rate, "GB/s"),
    ]


def _chain(folder: Path) -> list[Figure]:
    """People's lessons, a tuned teacher, its answers, a filter, five mixes, an audit: ten steps to decide."""
    place = folder / "chain"
    place.mkdir()
    scene = Scene(place)
    made = scene.statements.pop("filter")[0]
    first = StatementSubject(name="first", digest={"sha256": "1" * 64}, annotations={"rows": "36"})
    scene.statements["filter"] = (
        made.model_copy(
            update={"subject": (made.subject[0].model_copy(update={"digest": first.digest}),)}
        ),
        ("producer",),
    )
    before = "1" * 64
    for number in range(2, STEPS - 4):
        digest = f"{number:064x}"
        mixed = scene.mixed({"part": "36"}, {"part": before})
        subject = StatementSubject(
            name="part", digest={"sha256": digest}, annotations={"rows": "36"}
        )
        scene.statements[f"mix {number}"] = (
            mixed.model_copy(update={"subject": (subject,)}),
            ("producer",),
        )
        before = digest
    scene.statements["last"] = (scene.mixed({"part": "36"}, {"part": before}), ("producer",))
    bundle = bundle_path(scene.data)
    for statement, names in scene.statements.values():
        sign_into(bundle, [statement], signing(*names))
    trust_file, loaded = scene.trust_file(), load_policy("default")

    def decided() -> None:
        trust = read_trust(trust_file, now=NOW)
        found = verify(VerifyRequest(scene.data, BASE), trust, NOW + timedelta(minutes=1))
        document = decide(load_policy("default"), compiled_rules(loaded), found)
        assert document.decision == "allowed", document.conclusion
        assert len(found.links) == STEPS, len(found.links)

    decided()
    assert dataset(scene.data).digest
    return [
        at_most(f"chain: {STEPS} steps and the policy decided", 1000 * _least(decided), 50, "ms")
    ]


def _attacks(folder: Path) -> list[Figure]:
    """Each attack once, and the control beside each; the limit is that of tries drawn at random, which these are not."""
    accepted, refused, otherwise = [], [], []
    for attack in ATTACKS:
        taken, refusals = tried(attack, folder / attack.name)
        accepted += [attack.name] if taken else []
        otherwise += [] if taken or as_named(attack, refusals) else [attack.name]
        if attack.prepared and not control_allowed(attack, folder / f"{attack.name} control")[0]:
            refused.append(attack.name)
    tries, controls = len(ATTACKS), 1 + sum(attack.prepared for attack in ATTACKS)
    advisories = {each.known for each in ATTACKS if each.known.startswith(("CVE-", "GHSA-"))}
    high = clopper_pearson(len(accepted), tries, level=0.9).high
    note = "one-sided; the attacks are chosen, not drawn at random"
    return [
        at_least("attacks: tried", tries, 150, ""),
        Figure("attacks: advisories that they follow", len(advisories), ""),
        at_most("attacks: accepted", len(accepted), 0, "", note=", ".join(accepted)),
        Figure("attacks: upper 95 % limit of the share accepted", high, "", note=note),
        at_most(
            "attacks: refused for another reason than named",
            len(otherwise),
            0,
            "",
            note=", ".join(otherwise),
        ),
        at_least(
            "attacks: controls tried",
            controls,
            1,
            "",
            note="the untouched scene stands for all that need no other",
        ),
        at_most("attacks: controls refused", len(refused), 0, "", note=", ".join(refused)),
    ]


def _least(work: Callable[[], object]) -> float:
    return min(_once(work) for _ in range(_REPEATS))


def _once(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
