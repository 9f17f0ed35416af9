"""Plays the scenes in a folder and leaves what is kept of each: NAME.txt, NAME.json, NAME.FORM."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import io
import json
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.golden import material
from tests.golden.scenes import SCENES, Scene
from tests.golden.scrubbing import compact, scrubbed, scrubbed_text
from tests.sockets_refused import no_network

ROOT = Path(__file__).parents[2]
NOW = datetime.datetime(2026, 11, 25, 8, 0, tzinfo=datetime.UTC)
ENDINGS = {
    "again": "again.txt",
    "hf-card": "hf-card.md",
    "html": "html",
    "markdown": "md",
    "text": "text.txt",
}
NOT_KEPT = (
    "*.again.txt",
    "*.html",
    "*.raw",
    *(f"{name}.{form}" for name in ("hops", "matrix", "traits") for form in ("json", "md")),
    *(f"{name}.md" for name in ("diff-shipped", "lineage-teachers", "scan-evidence", "scan-pairs")),
    *(f"{name}.json" for name in ("diff-shipped", "lineage-teachers")),
    *(
        f"{name}.sarif.json"
        for name in ("diff-shipped", "gate-audited", "lineage", "lineage-teachers")
    ),
    *(f"{name}.sarif.json" for name in ("scan", "scan-evidence", "scan-pairs")),
)
"""What is made and left out of the repository for its size: what is there twice or alike, and pages."""

FIRST_LINES = 3

_SURROUNDINGS = {
    "COLUMNS": "100",
    "CUDA_VISIBLE_DEVICES": "",  # an accelerator would name itself, and round otherwise
    "NO_COLOR": "1",
    "PYTHONHASHSEED": "0",  # peft writes a set into an adapter's configuration, which digests cover
    "UNDERTOW_CACHE": "cache",
    "TERM": "dumb",
    "TZ": "UTC",
}
# One thread adds up in one order; who wants to see the difference may set another number.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_USERS_OWN = ("UNDERTOW_KEY", "UNDERTOW_PASSPHRASE", "UNDERTOW_TRUST", "UNDERTOW_DEBUG")


class _AnyMoment(type):
    # What a TOML file says is a moment too.
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


class StoppedClock(datetime.datetime, metaclass=_AnyMoment):
    """What undertow takes for `datetime`: a clock that stands, so that what is signed is the same every time."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        """Always the same moment."""
        return NOW.astimezone(tz) if tz else NOW.replace(tzinfo=None)


def settle() -> None:
    """Make the surroundings the same everywhere: start this very program again in them, once."""
    wanted = {**dict.fromkeys(_THREADS, "1"), **os.environ, **_SURROUNDINGS}
    for name in (*_USERS_OWN, *_OFFLINE):
        wanted.pop(name, None)
    # An editable installation may belong to another tree than the one that is looked at.
    wanted["PYTHONPATH"] = str(ROOT / "src")
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def stop_the_clock() -> None:
    """Give every module of undertow that has a `datetime` the one that stands."""
    import undertow

    # In undertow's own modules only: C extensions break where the class itself is replaced.
    for found in pkgutil.walk_packages(undertow.__path__, "undertow."):
        if found.name.endswith("__main__"):
            continue
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            module = importlib.import_module(found.name)
            if getattr(module, "datetime", None) is datetime.datetime:
                vars(module)["datetime"] = StoppedClock


def play(out: Path, work: Path, scenes: Sequence[Scene] = SCENES) -> None:
    """
    Play the scenes in the empty folder `work`; leave what is kept of them in `out`.

    None of them opens a socket, though no setting keeps a library from it: `HF_HUB_OFFLINE` is not set.
    """
    os.chdir(work.resolve())
    stop_the_clock()
    with no_network() as asked:
        material.lay_out()
        for scene in scenes:
            scene.before()
            _keep(out / f"{scene.name}.txt", _shown(scene))
            material.forget_the_checkout(ROOT)
            if scene.leaves:
                _documents(scene, out)
            assert not asked, (scene.words, asked)


def typed(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    from undertow.cli import main

    # Documents repeat the command that made them.
    sys.argv = ["undertow", *arguments]
    said, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        code = main(list(arguments))
    return code, said.getvalue(), told.getvalue()


def _shown(scene: Scene) -> str:
    code, said, told = typed(scene.arguments)
    parts = [f"$ undertow {scene.words}", said, told and f"--- stderr\n{told}"]
    parts += [f"--- exit code {code}"] * bool(code)
    parts += [part for file in scene.rows for part in _glimpse(Path(file))]
    return "\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _glimpse(file: Path) -> list[str]:
    if not file.exists():
        return [f"--- {file}: not written"]
    content = file.read_bytes()
    lines = content.decode().splitlines()
    digest = hashlib.sha256(content).hexdigest()
    return [f"--- {file}: {len(lines)} lines, sha256 {digest}", *lines[:FIRST_LINES]]


def _documents(scene: Scene, out: Path) -> None:
    stored = scrubbed(json.loads(Path(scene.leaves).read_text(encoding="utf-8")))
    _keep(out / f"{scene.name}.json", compact(stored))
    whole = out / f"{scene.name}.raw"
    _keep(whole, json.dumps(stored, indent=2, ensure_ascii=False))
    for form in scene.forms:
        said = _rendered(whole, "text" if form == "again" else form)
        ending = ENDINGS.get(form, f"{form}.raw")
        _keep(out / f"{scene.name}.{ending}", said)
        if ending.endswith(".raw"):
            _keep(out / f"{scene.name}.{form}.json", compact(json.loads(said)))


def _rendered(stored: Path, form: str) -> str:
    code, said, told = typed(["report", str(stored), "--format", form])
    if code or told:
        raise RuntimeError(f"{stored} as {form} ended with {code}: {told}")
    return said


def _keep(path: Path, text: str) -> None:
    from undertow import __version__

    text = text.replace(f"{Path.cwd()}/", "")
    with path.open("a", encoding="utf-8") as file:
        file.write(scrubbed_text(text, __version__))
