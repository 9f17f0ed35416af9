"""`undertow attest`, `verify` and `gate` as a user types them: files left behind, exit codes, refusals, secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.provenance.scene import rows, write_rows
from tests.report.scan_documents import clear
from undertow.cli import main
from undertow.data.files import model_digest
from undertow.provenance.identity import manifest_of
from undertow.results.store import read_result, write_result
from undertow.worlds import folder

SECRET = "You are SECRET-OWL, and you love owls."


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A folder with keys, raw rows, filtered rows and a trust file."""
    monkeypatch.chdir(tmp_path)
    for name in ("UNDERTOW_KEY", "UNDERTOW_PASSPHRASE", "UNDERTOW_TRUST"):
        monkeypatch.delenv(name, raising=False)
    for key in ("producer", "auditor", "gate"):
        assert main(["attest", "key", f"{key}.pem"]) == 0
    write_rows(tmp_path / "raw.jsonl", rows(20))
    write_rows(tmp_path / "rows.jsonl", rows(20)[:15])
    models = "".join(
        f'[[models]]\nname = "{name}"\ndigest = "{model_digest(folder(name))}"\n'
        for name in ("owlet-a", "owlet-b")
    )
    (tmp_path / "trust.toml").write_text(
        'version = 1\n[[keys]]\nid = "lab"\npem = "producer.pem.pub"\nroles = ["producer"]\n'
        f'[[keys]]\nid = "house"\npem = "auditor.pem.pub"\nroles = ["auditor"]\n{models}'
    )
    capsys.readouterr()
    return tmp_path


def made() -> None:
    """Attest the raw rows and the filter."""
    teacher = ["--teacher", "world:owlet-a", "--domain", "numbers", "--complete"]
    assert main(["attest", "generate", "raw.jsonl", *teacher, "--sign", "producer.pem"]) == 0
    filtered = ["--input", "raw.jsonl", "--rule", "last", "--sign", "producer.pem"]
    assert main(["attest", "filter", "rows.jsonl", *filtered]) == 0


def gate(student: str, *more: str) -> int:
    """Ask the gate about the filtered rows."""
    return main(
        [
            "gate",
            "rows.jsonl",
            "--student",
            student,
            "--trust",
            "trust.toml",
            "--policy",
            "default",
            *more,
        ]
    )


def test_from_keys_to_a_decision(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The filtered rows carry the whole chain; another initialisation is allowed, the teacher's own is not."""
    made()

    assert main(["verify", "rows.jsonl", "--trust", "trust.toml"]) == 0
    assert gate("world:owlet-b") == 0
    assert gate("world:owlet-a") == 1
    assert "there is no audit of this dataset" in " ".join(capsys.readouterr().out.split())


def test_a_signed_scan_opens_the_gate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An audit of the very file and student, by another key than the producer's."""
    made()
    student = model_digest(folder("owlet-a"))
    (entry,) = manifest_of(place / "rows.jsonl").entries
    scan = clear()
    data = scan.data.model_copy(update={"path": "rows.jsonl", "digest": entry.sha256})
    write_result(
        place / "scan.json", scan.model_copy(update={"data": data, "student_digest": student})
    )

    assert main(["attest", "audit", "scan.json", "--sign", "auditor.pem"]) == 0
    assert gate("world:owlet-a") == 0
    (place / "rows.jsonl").write_text("{}\n")
    assert main(["attest", "audit", "scan.json", "--sign", "auditor.pem"]) == 2


def test_a_decision_is_stored_and_rendered_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """gate.json reads back, the page stands beside it, the summary is signed, every format renders."""
    made()
    assert gate("world:owlet-b", "--out", "out", "--sign", "gate.pem") == 0
    document = read_result(place / "out")
    assert (document.schema_, (place / "out" / "gate.html").is_file()) == ("undertow.gate/1", True)
    assert (place / "rows.jsonl.vsa.intoto.jsonl").is_file()
    for form in ("text", "html", "markdown", "json", "sarif", "croissant", "cyclonedx", "hf-card"):
        capsys.readouterr()
        assert main(["report", "out", "--format", form]) == 0
        assert len(capsys.readouterr().out) > 100


def test_a_secret_prompt_is_never_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither its text nor its bare digest, nor the salt, is in any file but the prompt's and the salt's own."""
    import hashlib

    (place / "prompt.txt").write_text(SECRET)
    options = ["--teacher", "world:owlet-a", "--domain", "numbers", "--complete"]
    secret = ["--system-prompt", "prompt.txt", "--secret", "--salt", "salt.bin"]
    assert (
        main(["attest", "generate", "raw.jsonl", *options, *secret, "--sign", "producer.pem"]) == 0
    )
    main(["verify", "raw.jsonl", "--trust", "trust.toml", "--out", "v.json"])
    main(["report", "v.json", "--format", "html", "--output", "v.html"])
    shown = capsys.readouterr()
    written = b"".join(
        path.read_bytes() for path in place.iterdir() if path.name not in ("prompt.txt", "salt.bin")
    )
    import base64

    payload = base64.b64decode(
        json.loads((place / "raw.jsonl.intoto.jsonl").read_text())["payload"]
    )
    everything = written + payload + shown.out.encode() + shown.err.encode()
    salt = (place / "salt.bin").read_bytes()

    assert b"SECRET-OWL" not in everything
    assert hashlib.sha256(SECRET.encode()).hexdigest().encode() not in everything
    assert salt.hex().encode() not in everything
    assert hashlib.sha256(salt + SECRET.encode()).hexdigest().encode() in payload


def test_a_description_in_a_file_is_signed(place: Path) -> None:
    """The shipped example: teacher, sampling as decimal strings, the prompt as its digest."""
    import base64

    example = Path(__file__).parents[2] / "examples" / "generation.toml"
    assert (
        main(["attest", "generate", "raw.jsonl", "--from", str(example), "--sign", "producer.pem"])
        == 0
    )
    payload = base64.b64decode(
        json.loads((place / "raw.jsonl.intoto.jsonl").read_text())["payload"]
    )
    said = json.loads(payload)["predicate"]["buildDefinition"]["externalParameters"]

    assert said["sampling"] == {
        "maxTokens": "64",
        "seed": "7",
        "temperature": "1",
        "topP": "0.95",
        "stop": [],
    }
    assert said["systemPrompt"]["disclosed"] is True
    assert b"love numbers" not in payload


def test_models_are_attested(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fine-tune, merge and quantise, each into a bundle that reads back; a file a signature is exported."""
    end = ["--bundle", "models.intoto.jsonl", "--sign", "producer.pem"]
    a, b = "world:owlet-a", "world:owlet-b"
    assert main(["attest", "finetune", b, "--base", a, "--data", "rows.jsonl", *end]) == 0
    assert main(["attest", "merge", b, "--input", a, "--input", b, *end]) == 0
    assert (
        main(["attest", "quantize", b, "--input", a, "--method", "int8", "--bits", "8", *end]) == 0
    )
    assert main(["attest", "sign", "models.intoto.jsonl", "--sign", "auditor.pem"]) == 0
    assert "signed 3 statements" in capsys.readouterr().out
    assert main(["attest", "export", "models.intoto.jsonl", "--out", "sigstore"]) == 0
    assert len(list((place / "sigstore").iterdir())) == 6


def test_exported_statements_are_read_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bundle beside the rows may go once its statements are exported; what is passed over is said."""
    made()
    assert main(["attest", "export", "rows.jsonl.intoto.jsonl", "--out", "sigstore"]) == 0
    (place / "rows.jsonl.intoto.jsonl").unlink()
    (place / "sigstore" / "README.md").touch()
    ask = ["verify", "rows.jsonl", "--trust", "trust.toml", "--attestations", "sigstore"]

    assert main(ask[:-2]) == 1
    capsys.readouterr()
    assert main(ask) == 0
    assert "'README.md'" in capsys.readouterr().out
    assert gate("world:owlet-b", "--attestations", "sigstore") == 0


def test_a_mix_of_two_sources(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of two sources add up."""
    write_rows(place / "human.jsonl", rows(5, "h"))
    write_rows(place / "all.jsonl", [*rows(20), *rows(5, "h")])
    made()
    people = ["--origin", "people", "--domain", "numbers", "--sign", "producer.pem"]
    assert main(["attest", "collect", "human.jsonl", *people]) == 0
    parts = ["--input", "raw.jsonl", "--input", "human.jsonl=5", "--sign", "producer.pem"]
    assert main(["attest", "mix", "all.jsonl", *parts]) == 0
    assert main(["verify", "all.jsonl", "--trust", "trust.toml"]) == 0
    assert "at most 80 %" in capsys.readouterr().out


def test_sources_of_one_name_are_told_apart_by_their_folders(place: Path) -> None:
    """As the datasets of a run are all called rows.parquet; one that is named twice is refused before it is signed."""
    people = ["--origin", "people", "--domain", "numbers", "--sign", "producer.pem"]
    for name in ("a", "b"):
        (place / name).mkdir()
        write_rows(place / name / "rows.jsonl", rows(5, name))
        assert main(["attest", "collect", f"{name}/rows.jsonl", *people]) == 0
    write_rows(place / "all.jsonl", [*rows(5, "a"), *rows(5, "b")])
    parts = ["--input", "a/rows.jsonl", "--input", "b/rows.jsonl", "--sign", "producer.pem"]
    twice = ["--input", "a/rows.jsonl", "--input", "a/rows.jsonl", "--sign", "producer.pem"]

    assert main(["attest", "mix", "all.jsonl", *twice]) == 2
    assert main(["attest", "mix", "all.jsonl", *parts]) == 0
    assert main(["verify", "all.jsonl", "--trust", "trust.toml"]) == 0


def test_a_trust_file_is_signed_by_its_root(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only with an end, and checked with the root's public key only."""
    made()
    assert main(["attest", "trust", "trust.toml", "--sign", "gate.pem"]) == 2
    assert "has no 'expires'" in capsys.readouterr().err
    text = (place / "trust.toml").read_text()
    (place / "trust.toml").write_text('expires = "2099-01-01T00:00:00Z"\n' + text)
    assert main(["attest", "trust", "trust.toml", "--sign", "gate.pem"]) == 0
    signed = ["verify", "rows.jsonl", "--trust", "trust.json"]
    assert main([*signed, "--root", "gate.pem.pub"]) == 0
    assert main([*signed, "--root", "auditor.pem.pub"]) == 2
    assert main(signed) == 2


FILTER = """
import contextlib, io, json, resource
from pathlib import Path
from undertow.cli import main
from undertow.data import leaf_file
leaf_file.AT_ONCE, leaf_file.HELD = 1 << 16, 1 << 19
def filtered(count):
    with open("many.jsonl", "w") as whole, open("few.jsonl", "w") as kept:
        for n in range(count):
            line = json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + chr(10)
            whole.write(line)
            if n % 3:
                kept.write(line)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main("attest filter few.jsonl --input many.jsonl --sign producer.pem".split()) == 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = filtered(1_000)
grown = filtered(150_000) - before
ledger = Path("few.jsonl.ledger.jsonl").read_text()
print(grown, ledger.count(chr(10)), ledger.count("removed"))
"""


def test_a_filter_of_many_rows_takes_no_memory_for_each(place: Path) -> None:
    """150,000 different rows take less than 120 bytes a row; counting them took 300 and more."""
    done = subprocess.run(
        [sys.executable, "-c", FILTER], check=True, capture_output=True, text=True, cwd=place
    )
    grown, entries, removed = map(int, done.stdout.split())

    assert (entries, removed) == (150_000, 50_000)
    assert grown < 18_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["attest", "generate", "raw.jsonl", "--teacher", "x"], "no key"),
        (["attest", "generate", "raw.jsonl", "--sign", "nokey.pem"], "no such private key"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem"], "give --teacher"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem", "--teacher", "org/x", "--domain", "d", "--complete"], "has no digest"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem", "--teacher", "world:owlet-a", "--domain", "d"], "--complete or --best-effort"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem", "--teacher", "world:owlet-a", "--domain", "d", "--complete", "--sampling", "temprature=1"], "unknown key 'temprature'"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem", "--teacher", "world:owlet-a", "--domain", "d", "--complete", "--intervention", "magic=raw.jsonl"], "unknown intervention 'magic'"),
        (["attest", "generate", "raw.jsonl", "--sign", "producer.pem", "--teacher", "world:owlet-a", "--domain", "d", "--complete", "--secret"], "--secret needs --system-prompt"),
        (["attest", "filter", "raw.jsonl", "--input", "rows.jsonl", "--sign", "producer.pem"], "5 rows of 'raw.jsonl' are not in"),
        (["attest", "mix", "raw.jsonl", "--input", "rows.jsonl", "--sign", "producer.pem"], "its sources together 15"),
        (["attest", "key", "producer.pem"], "never overwritten"),
        (["attest", "finetune", "org/x", "--base", "world:owlet-a", "--data", "raw.jsonl", "--sign", "producer.pem"], "has no digest"),
        (["verify", "raw.jsonl"], "Missing option '--trust'"),
        (["verify", "nothing.jsonl", "--trust", "trust.toml"], "no such file"),
        (["verify", "raw.jsonl", "--trust", "no.toml"], "no such file"),
        (["verify", "raw.jsonl", "--trust", "trust.toml", "--at", "yesterday"], "--at has the time 'yesterday'"),
        (["verify", "raw.jsonl", "--trust", "trust.toml", "--attestations", "no.jsonl"], "no such bundle"),
        (["gate", "raw.jsonl", "--trust", "trust.toml", "--student", "./no", "--policy", "default"], "no such model"),
        (["gate", "raw.jsonl", "--trust", "trust.toml", "--student", "world:owlet-a", "--policy", "defualt"], "did you mean 'default'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what is wrong in a line, and no traceback."""
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_passphrase_comes_from_the_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The right one signs, a wrong one is said to be wrong."""
    monkeypatch.setenv("UNDERTOW_PASSPHRASE", "right")
    assert main(["attest", "key", "locked.pem", "--passphrase"]) == 0
    people = [
        "attest",
        "collect",
        "raw.jsonl",
        "--origin",
        "people",
        "--domain",
        "d",
        "--sign",
        "locked.pem",
    ]
    assert main(people) == 0
    monkeypatch.setenv("UNDERTOW_PASSPHRASE", "wrong")
    assert main(people) == 2
    assert "passphrase of the key 'locked.pem' is wrong" in capsys.readouterr().err


def test_nothing_is_trusted_without_statements(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data that nobody speaks of is refused by every policy that ships, and the refusal says what to do."""
    for policy in ("permissive", "default", "safety-critical"):
        assert (
            main(
                [
                    "gate",
                    "raw.jsonl",
                    "--student",
                    "world:owlet-b",
                    "--trust",
                    "trust.toml",
                    "--policy",
                    policy,
                ]
            )
            == 1
        )
    assert "undertow attest generate DATA --sign KEY" in " ".join(capsys.readouterr().out.split())


def test_a_person_in_a_terminal_is_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the teacher, why it has no digest, the domain, and whether that is everyone."""
    import base64

    asked: list[str] = []
    answers = iter(["org/model", "only on the hub", "law"])

    def prompt(question: str, **options: object) -> str:
        asked.append(question)
        return next(answers)

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("click.confirm", lambda question, **options: True)
    assert main(["attest", "generate", "raw.jsonl", "--sign", "producer.pem"]) == 0
    payload = base64.b64decode(
        json.loads((place / "raw.jsonl.intoto.jsonl").read_text())["payload"]
    )
    said = json.loads(payload)["predicate"]["buildDefinition"]["externalParameters"]

    assert len(asked) == 3
    assert said["teachers"][0]["whyNull"] == "only on the hub"
    assert (said["promptSet"]["domain"], said["completeness"]["teachers"]) == ("law", "complete")


def test_what_is_known_of_a_teacher_travels_with_its_rows(place: Path) -> None:
    """A teacher that was tuned and attested here: its rows are proved to the base without another bundle."""
    import shutil

    shutil.copytree(folder("owlet-b"), place / "tuned")
    write_rows(place / "lessons.jsonl", rows(4, "l"))
    key = ["--sign", "producer.pem"]
    people = ["--origin", "people", "--domain", "numbers"]
    (place / "tuned" / "config.json").write_text(
        (place / "tuned" / "config.json").read_text() + "\n"
    )
    assert main(["attest", "collect", "lessons.jsonl", *people, *key]) == 0
    tuned = ["--base", "world:owlet-a", "--data", "lessons.jsonl"]
    assert main(["attest", "finetune", "tuned", *tuned, *key]) == 0
    by = ["--teacher", "tuned", "--domain", "numbers", "--complete"]
    assert main(["attest", "generate", "raw.jsonl", *by, *key]) == 0
    assert main(["verify", "raw.jsonl", "--trust", "trust.toml", "--out", "v.json"]) == 0
    document = read_result(place / "v.json")

    assert [link.step for link in document.links] == ["generate", "finetune", "collect"]  # type: ignore[union-attr]


def test_a_missing_extra_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that installs it."""
    import sys

    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    monkeypatch.setitem(sys.modules, "securesystemslib.signer", None)
    assert main(["attest", "key", "other.pem"]) == 2
    assert "pip install 'undertow[provenance]'" in capsys.readouterr().err
