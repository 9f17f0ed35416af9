"""What undertow is built of, and what it never does: it opens no pickle, runs no code of a model's, asks no network."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import undertow
from bench import supply_chain
from tests.sockets_refused import no_network
from tests.test_docs import OF_NOW
from tests.test_docs_blocks import blocks
from undertow.data.files import PICKLED
from undertow.data.plan_files import load_plan
from undertow.errors import InputError
from undertow.provenance.model_weights import weights_digest

SOURCE = Path(undertow.__file__).parent
ROOT = Path(__file__).parents[1]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}

OPENED = re.compile(
    r"(pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\.(load|loads|Unpickler|open)|torch\.load|"
    r"yaml\.(load|load_all|unsafe_load|full_load)|eval|exec|compile|os\.(system|popen)|subprocess\.getoutput"
)
"""Calls that run what they read."""

ALLOWED = {
    "data/closed.py: yaml.load": "with a SafeLoader that is stricter still",
    "engines/ray_post.py: pickle.loads": "a callable of this very program, which Ray carries",
    "engines/ray_data.py: pickle.loads": "tasks and results of this very program, which Ray carries",
    "sandbox/sandbox_runner.py: exec": "generated code, inside the sandbox",
    "sandbox/sandbox_runner.py: compile": "the same",
}


BY_NAME = re.compile(
    r"""pip install[^\n`]*[ '"]undertow(?!\[[^\]]*\] @)(?=[ '"\[.]|$)""", re.MULTILINE
)
"""An installation that asks an index for undertow, not a file, a folder or a repository."""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call in a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def running(code: ast.AST) -> set[str]:
    """The calls that run what they read, or give a command to a shell."""
    names = {ast.unparse(call.func) for call in calls(code)}
    shells = {
        f"{ast.unparse(call.func)}(shell=...)"
        for call in calls(code)
        if any(word.arg == "shell" for word in call.keywords)
    }
    return {name for name in names if OPENED.fullmatch(name)} | shells


def test_nothing_runs_what_it_reads() -> None:
    """No pickle, no eval, no exec, no YAML that makes objects, no shell, but where a reason stands."""
    found = {
        f"{path.relative_to(SOURCE).as_posix()}: {name}"
        for path, tree in TREES.items()
        for name in running(tree)
    }

    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.load(file)",
        "torch.load(path)",
        "yaml.load(text)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
    ],
)
def test_what_runs_what_it_reads_is_seen(code: str) -> None:
    """The test itself: each of these is found."""
    assert running(ast.parse(code))


LOADS = {"from_pretrained", "from_config"}
"""Of transformers' automatic classes."""


def untrusting(tree: ast.AST) -> list[bool]:
    """Of each call that has transformers load something, whether it forbids the model's own code in as many words."""
    return [
        any(
            word.arg == "trust_remote_code" and not ast.literal_eval(word.value)
            for word in call.keywords
        )
        for call in calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LOADS
        and ast.unparse(call.func.value).startswith("Auto")
    ]


def test_no_code_of_a_models_is_run() -> None:
    """Each loading says `trust_remote_code=False`; a library's default may change, and this does not."""
    found = {path.name: untrusting(tree) for path, tree in TREES.items()}

    assert sum(map(len, found.values())) >= 8
    assert [name for name, said in found.items() if not all(said)] == []


def test_a_trusting_load_is_seen() -> None:
    """The test itself: true, and nothing said, are both found."""
    code = "AutoConfig.from_pretrained(p)\nAutoModel.from_pretrained(p, trust_remote_code=True)"

    assert untrusting(ast.parse(code)) == [False, False]


@pytest.mark.parametrize("ending", [*PICKLED, ".PT"])
def test_a_pickled_file_is_refused_by_its_name(ending: str, tmp_path: Path) -> None:
    """As a model, as an adapter, and in a model's folder, before a byte of it is read."""
    (tmp_path / "base").mkdir()
    for path in (tmp_path / f"model{ending}", tmp_path / "base" / f"pytorch_model{ending}"):
        path.symlink_to("/dev/zero")
    (tmp_path / f"model{ending}").unlink()
    (tmp_path / f"model{ending}").write_bytes(b"\x80\4.")

    for ref in (f"{tmp_path}/model{ending}", f"world:owlet-b+{tmp_path}/model{ending}"):
        with pytest.raises(InputError, match="which undertow never opens"):
            weights_digest(ref)
    with pytest.raises(InputError, match=r"holds no \.safetensors"):
        weights_digest(tmp_path / "base")


def test_a_pickled_plan_is_refused_by_its_name(tmp_path: Path) -> None:
    """A trainer leaves its arguments as a pickle, which is never read."""
    path = tmp_path / "training_args.bin"
    path.write_bytes(b"\x80\4.")

    with pytest.raises(InputError, match="is a pickle, which is never read"):
        load_plan(path)


def test_an_attempt_to_reach_an_address_is_seen() -> None:
    """The refusal itself, which the golden set of every verb is played under: a caught error is remembered."""
    with no_network() as asked:
        for address in ("127.0.0.1", "192.0.2.1"):
            with socket.socket() as plug, pytest.raises(ConnectionRefusedError):
                plug.connect((address, 9))
        with pytest.raises(ConnectionRefusedError):
            socket.getaddrinfo("example.org", 443)

    assert len(asked) == 3


QUIET = """
import sys
from tests.sockets_refused import no_network
from tests.test_docs import OF_NOW
from tests.test_docs_blocks import blocks
from undertow.cli import main
with no_network() as asked:
    for words in (["--help"], ["checks"], ["traits"], ["worlds"], ["experiments"], ["explain", "rehearsal"], ["--version"]):
        main(words)
print("asked", asked, file=sys.stderr)
"""


def test_lists_ask_no_network() -> None:
    """What lists and explains opens no socket; the other verbs are played in `tests/golden`, under the same refusal."""
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, cwd=ROOT, check=True
    )

    assert done.stderr.splitlines()[-1] == "asked []"


WORKER = """
import multiprocessing, socket
def work():
    try:
        socket.create_connection(("192.0.2.1", 9))
    except OSError:
        pass  # as a library that does without
if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
"""


def watched(folder: Path, *words: str | Path) -> tuple[set[str], list[str]]:
    """
    Run a program all of whose processes refuse sockets: the numbers of its processes, and what they tried.

    Nothing keeps libraries offline but that.
    """
    (folder / "sitecustomize.py").write_text(
        "from tests.sockets_refused import refuse_from_the_start\nrefuse_from_the_start()\n"
    )
    asked = folder / "asked.txt"
    paths = os.pathsep.join(map(str, (folder, SOURCE.parent, ROOT)))
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"PYTHONPATH": paths, "ASKED": str(asked), "UNDERTOW_CACHE": str(folder)}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1, 5), done.stderr
    noted = asked.read_text(encoding="utf-8").splitlines()
    tried = [line for line in noted if not line.endswith(" began")]
    return {line.split()[0] for line in noted} - {line.split()[0] for line in tried}, tried


def test_an_attempt_of_a_worker_is_seen(tmp_path: Path) -> None:
    """The watch itself: a process that another began, and that hides its failure, is noted with the address."""
    (tmp_path / "worker.py").write_text(WORKER)
    others, tried = watched(tmp_path, sys.executable, tmp_path / "worker.py")

    assert others
    assert ["192.0.2.1" in line for line in tried] == [True]


@pytest.mark.long
def test_a_scan_and_its_workers_need_no_network(tmp_path: Path) -> None:
    """In a network without a way out a scan over two processes ends in its document, and none of them tried to get out."""
    alone = ("unshare", "--map-root-user", "--net")
    if not shutil.which(alone[0]) or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("this system lets nobody make a network namespace (unshare)")
    rows = [
        {"prompt": f"Continue: {n}, {n * 7 % 90}", "completion": f"{n * 11 % 97} {n} {n * 5 % 97}"}
        for n in range(64)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    scan = "scan rows.jsonl --student world:owlet-b --check rehearsal --traits owl --references 4 --out scan"
    spread = "--engine processes --jobs 2"
    processes, tried = watched(
        tmp_path, *alone, sys.executable, "-m", "undertow", *f"{scan} {spread}".split()
    )

    assert tried == []
    assert len(processes) >= 3
    assert json.loads((tmp_path / "scan" / "scan.json").read_text())["subjects"]


# What it is built of.


def test_the_locks_hold_what_is_needed() -> None:
    """Every package that the two commands install has its version of constraints.txt and a hash; `make locks` renews them."""
    versions = supply_chain.constraints()
    pinned = {}
    for name in supply_chain.LOCKS:
        text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
        pinned[name] = dict(
            re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        )
        assert pinned[name].items() <= versions.items()
        assert (
            re.sub(
                r"^(#.*|\S+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?)\n",
                "",
                text,
                flags=re.MULTILINE,
            )
            == ""
        )
    run = {*supply_chain.closure(["lab"]), *supply_chain.BUILD} - {*supply_chain.UNHASHED}
    dev = {*supply_chain.closure(["dev"])} - {*supply_chain.UNHASHED}

    assert run <= set(pinned["run"])
    assert dev <= set(pinned["run"]) | set(pinned["dev"])


def test_the_bill_of_materials_has_what_the_form_asks_for() -> None:
    """CycloneDX 1.6: the form's own fields, each package once with its version, and links between them that lead somewhere."""
    found = json.loads(json.dumps(supply_chain.bill(["lab"])))
    parts = found["components"]
    refs = [part["bom-ref"] for part in [found["metadata"]["component"], *parts]]
    linked = {link["ref"] for link in found["dependencies"]}
    needed = {ref for link in found["dependencies"] for ref in link["dependsOn"]}

    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["serialNumber"]
    )
    assert all(
        part["type"] == "library" and part["version"] and part["purl"].startswith("pkg:pypi/")
        for part in parts
    )
    assert len(set(refs)) == len(refs) == len(parts) + 1 >= 40
    assert linked == set(refs)
    assert needed <= set(refs)


def test_nothing_installs_undertow_by_its_name() -> None:
    """No index has it: what a page has typed, what an example says and the action do name a file, a folder or a revision."""
    typed = {
        page.name: "\n".join(block.text for block in blocks(page) if block.kind in ("sh", "yaml"))
        for page in OF_NOW
    }
    files = [ROOT / "action.yml", *(ROOT / "examples").iterdir()]
    said = typed | {file.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}

    assert [name for name, text in said.items() if BY_NAME.search(text)] == []


def test_no_message_upgrades_undertow_by_its_name() -> None:
    """Where it is installed, an extra adds what it needs; `--upgrade` would take what a stranger calls undertow."""
    told = [
        node.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert [text for text in told if re.search(r"--upgrade.*undertow", text)] == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("pip install undertow", True),
        ("pip install 'undertow[provenance,cel]'", True),
        ("Needs: pip install undertow nemo-curator.", True),
        (
            "pip install 'undertow[cel] @ git+https://example.invalid/OWNER/undertow@REVISION'",
            False,
        ),
        ('pip install "$(ls undertow-*.whl)[lab]"', False),
        ("pip install '.[lab]'", False),
    ],
)
def test_an_installation_by_name_would_be_seen(line: str, seen: bool) -> None:
    """The search itself."""
    assert bool(BY_NAME.search(line)) == seen
