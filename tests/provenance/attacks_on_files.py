"""Attacks on what lies on the disk: folders, links, pipes, ledgers, and the weights of models."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.provenance.attack_table import attack
from tests.provenance.attacks import in_a_folder
from tests.provenance.attacks_on_documents import whole_chain
from tests.provenance.scene import BASE, OTHER, Scene, pem, raw_line, rows, write_rows
from undertow.provenance.bundle import LARGEST_FILE
from undertow.provenance.envelope import SIGSTORE_BUNDLE, STATEMENT_TYPE
from undertow.provenance.identity import Entry, Manifest, manifest_of, ordered_manifest
from undertow.provenance.model_weights import signed_model, weights_digest
from undertow.provenance.statement import LARGEST, StatementSubject, canonical

TRAVERSAL = "CVE-2021-41149"


# Datasets.


@attack("error in Unicode's form NFC", "Unicode Standard Annex 15")
def name_in_another_normal_form(scene: Scene) -> Iterator[None]:
    """A file name whose accent is a character of its own."""
    folder = in_a_folder(scene, **{"caf\u00e9": "a"})
    yield
    write_rows(folder / "cafe\u0301.jsonl", rows(2))


@attack("error same name", "CVE-2014-9390")
def names_that_differ_in_case(scene: Scene) -> Iterator[None]:
    """Two file names that one file system takes for the same."""
    folder = in_a_folder(scene, train="a")
    yield
    write_rows(folder / "Train.jsonl", rows(2))


@attack("error cannot be seen", "CVE-2014-9390")
def name_with_an_unseen_character(scene: Scene) -> Iterator[None]:
    """A file name with a character of no width."""
    folder = in_a_folder(scene, train="a")
    yield
    write_rows(folder / "tra\u200cin.jsonl", rows(2))


@attack("error cannot be seen", "CVE-2021-42574")
def name_with_a_line_end(scene: Scene) -> Iterator[None]:
    """A file name with a line end."""
    folder = in_a_folder(scene, train="a")
    yield
    write_rows(folder / "train\n.jsonl", rows(2))


def manifest_path(scene: Scene, path: str) -> None:
    """The question is whether a manifest with this path is one."""
    scene.instead = lambda: ordered_manifest([Entry(path, 1, BASE)], "manifest")


@attack("error plain characters", TRAVERSAL)
def path_of_another_system(scene: Scene) -> Iterator[None]:
    """A manifest with a path in backslashes."""
    manifest_path(scene, "data/rows.jsonl")
    yield
    manifest_path(scene, "..\\..\\rows.jsonl")


@attack("error plain characters", TRAVERSAL)
def path_on_another_drive(scene: Scene) -> Iterator[None]:
    """A manifest with a path on a drive."""
    manifest_path(scene, "data/rows.jsonl")
    yield
    manifest_path(scene, "C:rows.jsonl")


@attack("error leads out", "CVE-2026-6968")
def path_from_the_root(scene: Scene) -> Iterator[None]:
    """A manifest with an absolute path."""
    manifest_path(scene, "data/rows.jsonl")
    yield
    manifest_path(scene, "/etc/passwd")


@attack("error leads out", "CVE-2021-41087")
def path_with_a_way_around(scene: Scene) -> Iterator[None]:
    """A manifest with a path that goes out of a folder and in again."""
    manifest_path(scene, "data/rows.jsonl")
    yield
    manifest_path(scene, "data/../rows.jsonl")


@attack("error no ordinary file", "TUF specification, endless data attacks")
def pipe_in_a_folder(scene: Scene) -> Iterator[None]:
    """A pipe among the files of a dataset, which never ends."""
    folder = in_a_folder(scene, train="a")
    yield
    os.mkfifo(folder / "more.jsonl")


@attack("error symbolic link", "CVE-2026-6968")
def link_to_a_folder(scene: Scene) -> Iterator[None]:
    """A link to a folder elsewhere, in the dataset's folder."""
    folder = in_a_folder(scene, train="a")
    yield
    os.symlink("/etc", folder / "more")


@attack("error symbolic link", "CVE-2025-8869")
def link_to_nothing(scene: Scene) -> Iterator[None]:
    """A link in the dataset's folder to a file that will be there later."""
    folder = in_a_folder(scene, train="a")
    yield
    os.symlink("later.jsonl", folder / "more.jsonl")


@attack("problem no-provenance", "TUF specification, arbitrary installation attacks")
def hidden_file_in_a_folder(scene: Scene) -> Iterator[None]:
    """A hidden file added to the dataset's folder."""
    folder = in_a_folder(scene, train="a")
    yield
    write_rows(folder / ".more.jsonl", rows(2))


@attack("problem no-provenance", "OpenSSF Model Signing specification 1.0, section 6.5.1")
def folder_one_level_deeper(scene: Scene) -> Iterator[None]:
    """The same files one folder further down."""
    folder = in_a_folder(scene, train="a")
    yield
    (folder / "deeper").mkdir()
    (folder / "train.jsonl").rename(folder / "deeper" / "train.jsonl")


@attack("problem other-content", "CWE-62, hard links")
def hard_link(scene: Scene) -> Iterator[None]:
    """The dataset is a second name of a file, which is written through the first."""
    first = scene.folder / "first.jsonl"
    first.write_bytes(scene.data.read_bytes())
    scene.data.unlink()
    os.link(first, scene.data)
    yield
    with first.open("r+b") as file:
        file.seek(30)
        file.write(b"X")


@attack("error changed while it was read", "CWE-367, time of check and time of use")
def changed_while_it_is_read(scene: Scene) -> Iterator[None]:
    """A file that is written over in place, byte for byte, while its digest is taken."""
    write_rows(scene.data, [{"prompt": "x" * 4_000_000, "completion": "y"}])
    scene.replace("filter", scene.generated(subject=_dataset(scene)))
    scene.replace("audit", scene.audited())
    yield
    scene.instead = lambda: while_it_changes(scene.data, lambda: manifest_of(scene.data))


def _dataset(scene: Scene) -> StatementSubject:
    from undertow.provenance.signed_steps import dataset

    return dataset(scene.data)


def while_it_changes(path: Path, ask: Callable[[], object]) -> object:
    """Ask until the change is seen, at most 50 times, while the file is written over all the time."""
    done = threading.Event()

    def writing() -> None:
        with path.open("r+b", buffering=0) as file:
            while not done.is_set():
                os.pwrite(file.fileno(), b"z", 20)

    writer = threading.Thread(target=writing)
    writer.start()
    try:
        for _ in range(50):
            ask()
    finally:
        done.set()
        writer.join()
    return None


@attack("problem no-provenance", "OpenSSF Model Signing specification 1.0, section 6.5.1")
def manifest_in_the_place_of_the_data(scene: Scene) -> None:
    """A file whose bytes are the manifest, so that its plain SHA-256 is the dataset's digest."""
    manifest = manifest_of(scene.data)
    content = [{"path": e.path, "sha256": e.sha256, "size": e.size} for e in manifest.entries]
    scene.data.write_bytes(canonical(content))
    assert hashlib.sha256(scene.data.read_bytes()).hexdigest() == manifest.digest


@attack("problem rows", "RFC 6962, section 2.1")
def inner_node_in_the_place_of_rows(scene: Scene) -> None:
    """A file of the 65 bytes whose SHA-256 is the root over 65 rows of a split on a hub."""
    leaves = [hashlib.sha256(bytes([index])).digest() for index in range(2)]
    node = b"\1" + b"".join(leaves)
    root = hashlib.sha256(node).hexdigest()
    split = Manifest((Entry("org/name/train", len(node), root),))
    about = {"manifest": "sha256-manifest/v1", "rows": "65", "rowMerkle": root}
    subject = StatementSubject(name="set", digest={"sha256": split.digest}, annotations=about)
    scene.data = scene.folder / "set"
    (scene.data / "org" / "name").mkdir(parents=True)
    (scene.data / "org" / "name" / "train").write_bytes(node)
    scene.replace("filter", scene.generated(subject=subject))
    scene.replace("audit", scene.audited())
    assert manifest_of(scene.data).digest == split.digest


# Bundles and ledgers.


def bundle_folder(scene: Scene) -> Path:
    """A folder of further bundles, of which one repeats the audit."""
    folder = scene.folder / "attestations"
    folder.mkdir()
    line = raw_line(scene.statements["audit"][0].payload(), ["auditor"])
    (folder / "audit.intoto.jsonl").write_bytes(line)
    scene.bundles = (folder,)
    return folder


@attack("error no ordinary file", "CVE-2023-46737")
def endless_bundle(scene: Scene) -> Iterator[None]:
    """A bundle that is a link to a device without an end."""
    folder = bundle_folder(scene)
    yield
    os.symlink("/dev/zero", folder / "more.intoto.jsonl")


@attack("error no ordinary file", "CVE-2023-46737")
def bundle_that_nobody_writes(scene: Scene) -> Iterator[None]:
    """A bundle that is a pipe, for which a reader would wait for ever."""
    folder = bundle_folder(scene)
    yield
    os.mkfifo(folder / "more.intoto.jsonl")


@attack("error has more than", "CVE-2024-29902")
def oversized_bundle(scene: Scene) -> Iterator[None]:
    """A bundle beyond 256 MB."""
    folder = bundle_folder(scene)
    yield
    with (folder / "more.intoto.jsonl").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)


@attack("error no ordinary file", "CVE-2023-46737")
def endless_trust(scene: Scene) -> Iterator[None]:
    """A key in the trust file that is a device without an end."""
    key = scene.folder / "second.pub"
    key.write_text(pem("second"))
    scene.keys["second"] = {"roles": ["producer"], "pem": "second.pub"}
    yield
    scene.keys["second"]["pem"] = "/dev/zero"


def proved(scene: Scene) -> Path:
    """A policy that asks for the ledger of each filter; the ledger's path."""
    scene.policy = whole_chain(scene, "filters_proved = true\n")
    return scene.folder / "rows.jsonl.ledger.jsonl"


@attack("rule whole", "CVE-2025-8869")
def linked_ledger(scene: Scene) -> Iterator[None]:
    """A ledger that is a link."""
    ledger = proved(scene)
    yield
    ledger.rename(scene.folder / "elsewhere")
    os.symlink(scene.folder / "elsewhere", ledger)


@attack("rule whole", "SLSA provenance v1, byproducts")
def removed_ledger(scene: Scene) -> Iterator[None]:
    """A ledger taken away where it is asked for."""
    ledger = proved(scene)
    yield
    ledger.unlink()


@attack("problem ledger", "TUF specification, endless data attacks")
def ledger_of_one_line(scene: Scene) -> Iterator[None]:
    """A ledger that is a line of 17 MB."""
    ledger = proved(scene)
    yield
    ledger.write_bytes(b" " * (LARGEST + 1_000_000))


@attack("problem ledger", "RFC 8259, section 4")
def ledger_with_a_key_twice(scene: Scene) -> Iterator[None]:
    """A line of the ledger that names two leaves."""
    ledger = proved(scene)
    yield
    text = ledger.read_text()
    ledger.write_text(text.replace('{"leaf"', '{"leaf":"' + "0" * 64 + '","leaf"', 1))


# Models.


def tensors(offsets: list[int], size: int = 8) -> bytes:
    """A safetensors file with one tensor at these offsets."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def headed(header: bytes) -> bytes:
    """A safetensors file with this header."""
    return struct.pack("<Q", len(header)) + header + bytes(8)


def with_a_student(scene: Scene) -> Path:
    """The student is a model on this disk, of another base than the teacher's; no audit is needed."""
    folder = scene.folder / "student"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = folder / "model.safetensors"
    weights.write_bytes(tensors([0, 8]))
    digest = weights_digest(folder)
    scene.models.append({"name": "student", "digest": digest, "init": OTHER})
    scene.student = str(folder)
    del scene.statements["audit"]
    return weights


@attack("rule audited-if-related", "CWE-345, weights in the place of others")
def other_weights(scene: Scene) -> Iterator[None]:
    """One byte of the student's weights is another."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


@attack("error its header promises", "safetensors, Format")
def weights_cut_off(scene: Scene) -> Iterator[None]:
    """Weights without their end."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(weights.read_bytes()[:-1])


@attack("error its header promises", "safetensors, Format")
def bytes_behind_the_weights(scene: Scene) -> Iterator[None]:
    """Weights with another file behind them, which other readers find from its end."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(weights.read_bytes() + b"PK\5\6" + bytes(18))


@attack("error cut off in its header", "safetensors, Format")
def header_longer_than_the_file(scene: Scene) -> Iterator[None]:
    """Weights whose header is said to be of 2^63 bytes."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(struct.pack("<Q", 2**63) + b"{}")


@attack("error no readable safetensors header", "RFC 8259, section 9")
def header_of_many_levels(scene: Scene) -> Iterator[None]:
    """Weights whose header is nested 100,000 levels deep."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(headed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))


@attack("error no readable safetensors header", "RFC 8259, section 6")
def tensor_that_ends_at_infinity(scene: Scene) -> Iterator[None]:
    """Weights whose tensor ends at 1e999."""
    weights = with_a_student(scene)
    yield
    weights.write_bytes(headed(b'{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,1e999]}}'))


@attack("error which a digest of these does not cover", "CVE-2025-32434")
def pickle_beside_the_weights(scene: Scene) -> Iterator[None]:
    """A pickled checkpoint beside the safetensors, which a loader may prefer."""
    weights = with_a_student(scene)
    yield
    (weights.parent / "pytorch_model.bin").write_bytes(b"\x80\4.")


@attack("error holds no .safetensors", "CVE-2025-32434")
def pickle_in_the_place_of_weights(scene: Scene) -> Iterator[None]:
    """A pickled checkpoint alone."""
    weights = with_a_student(scene)
    yield
    weights.rename(weights.parent / "model.pt")


@attack("error which a digest of these does not cover", "CVE-2026-1839")
def pickled_state_beside_the_weights(scene: Scene) -> Iterator[None]:
    """The pickled state of a trainer beside the safetensors."""
    weights = with_a_student(scene)
    yield
    (weights.parent / "rng_state.pth").write_bytes(b"\x80\4.")


def gguf(count: int = 0, dimensions: tuple[int, ...] = (), more: bytes = b"") -> bytes:
    """A GGUF file with one tensor of these dimensions."""
    key = b"general.architecture"
    text = b"GGUF" + struct.pack("<IQQ", 3, 1 if dimensions else 0, 1 + count)
    text += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, 5) + b"llama"
    if dimensions:
        text += struct.pack("<Q", 1) + b"w" + struct.pack("<I", len(dimensions))
        text += struct.pack(f"<{len(dimensions)}Q", *dimensions) + struct.pack("<IQ", 0, 0)
    return text + bytes(-len(text) % 32) + more


def with_a_gguf_student(scene: Scene) -> Path:
    """The student is a GGUF file, of another base than the teacher's."""
    path = scene.folder / "student.gguf"
    path.write_bytes(gguf(dimensions=(8,), more=bytes(32)))
    digest = weights_digest(path)
    scene.models.append({"name": "student", "digest": digest, "init": OTHER})
    scene.student = str(path)
    del scene.statements["audit"]
    return path


@attack("error GGUF", "ggml-org/llama.cpp, pull request 14595")
def gguf_tensor_of_overflowing_size(scene: Scene) -> Iterator[None]:
    """A GGUF file whose tensor's size is beyond 64 bits, which wraps to a small number elsewhere."""
    path = with_a_gguf_student(scene)
    yield
    path.write_bytes(gguf(dimensions=(2**32, 2**32, 4), more=bytes(32)))


@attack("error GGUF", "ggml-org/ggml, pull request 709")
def gguf_of_made_up_counts(scene: Scene) -> Iterator[None]:
    """A GGUF file that promises 2^60 values."""
    path = with_a_gguf_student(scene)
    yield
    path.write_bytes(gguf(count=2**60, dimensions=(8,), more=bytes(32)))


@attack("error GGUF", "antirez/gguf-tools, issue 25")
def gguf_tensor_of_many_dimensions(scene: Scene) -> Iterator[None]:
    """A GGUF file whose tensor has nine dimensions."""
    path = with_a_gguf_student(scene)
    yield
    path.write_bytes(gguf(dimensions=(1,) * 8 + (8,), more=bytes(32)))


@attack("error GGUF", "ggml, docs/gguf.md")
def gguf_cut_off(scene: Scene) -> Iterator[None]:
    """A GGUF file without its weights."""
    path = with_a_gguf_student(scene)
    yield
    path.write_bytes(gguf(dimensions=(8,)))


# Signatures of third parties on models.

MAKER = ec.generate_private_key(ec.SECP256R1())
OMS = "OpenSSF Model Signing specification 1.0"


def signed_by_its_maker(scene: Scene, change: Callable[[dict[str, Any]], object] = dict) -> Path:
    """A model folder with its maker's signature, which the question is about."""
    folder = scene.folder / "maker"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("[]")
    (folder / "model.safetensors").write_bytes(tensors([0, 8]))
    with contextlib.suppress(FileNotFoundError):
        (folder / "model.sig").unlink()
    _sign(folder, change)
    key = scene.folder / "maker.pub"
    key.write_bytes(
        MAKER.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    scene.instead = lambda: signed_model(folder, folder / "model.sig", key)
    return folder


def _sign(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from cryptography.hazmat.primitives import hashes

    from undertow.provenance.envelope import authenticated

    files = {path.name: hashlib.sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
    root = hashlib.sha256(b"".join(files[name].digest() for name in sorted(files))).hexdigest()
    settings = {"method": "files", "hash_type": "sha256", "ignore_paths": ["model.sig"]}
    resources = [
        {"name": name, "algorithm": "sha256", "digest": digest.hexdigest()}
        for name, digest in files.items()
    ]
    statement = {
        "subject": [{"name": "maker", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": settings, "resources": resources},
    }
    change(statement)
    payload = json.dumps(statement).encode()
    kind = statement.pop("kind", STATEMENT_TYPE)
    assert isinstance(kind, str)
    sig = MAKER.sign(authenticated(kind, payload), ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"keyid": "", "sig": base64.b64encode(sig).decode()}],
    }
    bundle = {"mediaType": SIGSTORE_BUNDLE, "verificationMaterial": {}, "dsseEnvelope": envelope}
    (folder / "model.sig").write_text(json.dumps(bundle))


@attack("error is not what was signed", f"{OMS}, section 6.5.1")
def model_files_that_swapped_names(scene: Scene) -> Iterator[None]:
    """Two files of a signed model swap their names, which its subject's digest does not bind."""
    folder = signed_by_its_maker(scene)
    yield
    (folder / "config.json").rename(folder / "x")
    (folder / "tokenizer.json").rename(folder / "config.json")
    (folder / "x").rename(folder / "tokenizer.json")


@attack("error was not signed", "CVE-2026-5241")
def code_beside_a_signed_model(scene: Scene) -> Iterator[None]:
    """A program added to a signed model, which a loader may run."""
    folder = signed_by_its_maker(scene)
    yield
    (folder / "modeling.py").write_text("print()")


@attack("error was not signed", f"{OMS}, ignore_paths")
def weights_that_the_signature_ignores(scene: Scene) -> Iterator[None]:
    """Weights added to a signed model under a path that the signature leaves out."""
    folder = signed_by_its_maker(scene)
    yield
    (folder / "model.sig").unlink()
    _sign(folder, lambda t: t["predicate"]["serialization"].update(ignore_paths=["more", "model.sig"]))  # fmt: skip
    (folder / "more").mkdir()
    (folder / "more" / "x.safetensors").write_bytes(tensors([0, 8]))


@attack("error is missing", OMS)
def file_missing_from_a_signed_model(scene: Scene) -> Iterator[None]:
    """A file of a signed model is taken away, so that a reader falls back to something else."""
    folder = signed_by_its_maker(scene)
    yield
    (folder / "tokenizer.json").unlink()


@attack("error is missing", TRAVERSAL)
def model_file_that_leads_out(scene: Scene) -> Iterator[None]:
    """A model signature that lists a file outside of the folder."""
    signed_by_its_maker(scene)
    yield

    def outside(table: dict[str, Any]) -> None:
        listed = table["predicate"]["resources"]
        listed[0]["name"] = "../maker.pub"
        ordered = sorted(listed, key=lambda each: each["name"])
        content = b"".join(bytes.fromhex(each["digest"]) for each in ordered)
        table["subject"][0]["digest"]["sha256"] = hashlib.sha256(content).hexdigest()

    signed_by_its_maker(scene, outside)


@attack("error a file twice", OMS)
def model_file_listed_twice(scene: Scene) -> Iterator[None]:
    """A model signature that lists a file with two digests."""
    signed_by_its_maker(scene)
    yield
    signed_by_its_maker(
        scene,
        lambda t: t["predicate"]["resources"].append(
            t["predicate"]["resources"][0] | {"digest": "0" * 64}
        ),
    )


@attack("error algorithm", OMS)
def model_by_a_weak_digest(scene: Scene) -> Iterator[None]:
    """A model signature over MD5."""
    signed_by_its_maker(scene)
    yield
    signed_by_its_maker(
        scene, lambda t: t["predicate"]["resources"][0].update(algorithm="md5", digest="0" * 32)
    )


@attack("error predicateType", "CVE-2022-35929")
def model_signature_of_another_version(scene: Scene) -> Iterator[None]:
    """A model signature of a version to come."""
    signed_by_its_maker(scene)
    yield
    kind = "https://model_signing/signature/v2.0"
    signed_by_its_maker(scene, lambda t: t.update(predicateType=kind))


@attack("error payload of the type", "DSSE 1.0.0, PAYLOAD_TYPE")
def model_signature_of_another_type(scene: Scene) -> Iterator[None]:
    """A model signature under another payload type."""
    signed_by_its_maker(scene)
    yield
    signed_by_its_maker(scene, lambda t: t.update(kind="application/json"))


@attack("error is not signed by the key", "CVE-2022-23649")
def model_signature_of_a_stranger(scene: Scene) -> Iterator[None]:
    """A model signature by another key than the maker's."""
    signed_by_its_maker(scene)
    yield
    (scene.folder / "maker.pub").write_text(pem("ecdsa"))


@attack("problem unreadable", "CVE-2022-35929")
def model_signature_as_evidence(scene: Scene) -> None:
    """A model signature in the bundle, in the place of how the data was made."""
    folder = signed_by_its_maker(scene)
    scene.instead = None
    scene.statements.pop("filter")
    table = json.loads((folder / "model.sig").read_text())
    payload = base64.b64decode(table["dsseEnvelope"]["payload"])
    scene.lines.append(raw_line(payload, ["producer"]))
