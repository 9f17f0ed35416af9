"""The campaign of bad places: a full disk, a read-only folder, a clock that jumps, two commands at once; then healed."""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from unittest.mock import patch

from bench.figures import Figure
from bench.reliability import disk, kill, kill_campaign
from bench.reliability.disk import WAYS, Scene, Told
from bench.reliability.kill import Typed
from bench.reliability.tries import FIRST_SEED, Unit, counted, figure, trap_figure

COMMAND = "python -m bench.reliability disk"
ASKED, ASKED_A_VERB, ASKED_A_WAY = 200, 30, 50
ROUNDS = 14
"""Of all ways and verbs: in some the disk is short of something only when the command has ended."""

VERBS = ("attest", "clean", "scan", "diff", "run")
PARTS = (*WAYS, *VERBS)


def beside(typed: Typed) -> Typed:
    """Another command that has to do with the same files: into another folder, or about another domain."""
    if typed.name == "attest":
        other = {"numbers": "law"}
    else:
        other = {"out": "out2", "kept.jsonl": "kept2.jsonl"}
    arguments = tuple(other.get(word, word) for word in typed.arguments)
    documents = tuple(
        name.replace("out/", "out2/").replace("kept.", "kept2.") for name in typed.documents
    )
    return replace(typed, arguments=arguments, documents=documents)


@cache
def scene(verb: str, at: Path) -> Scene:
    """A verb on the disk, with what it leaves there uninterrupted."""
    typed, material, folder = kill_campaign.VERBS[verb], kill_campaign.material(), at / "try"
    disk.heal(at)
    kill.fresh(typed, material, folder)
    before = disk.usage(at)
    other = beside(typed)
    alone = kill.whole(other, material, folder)
    expected = kill.whole(typed, material, folder)
    after = disk.usage(at)
    room = (after[0] - before[0], after[1] - before[1])
    return Scene(typed, material, at, expected, other, alone, room)


def one_try(verb: str, way: str, seed: int) -> Unit:
    """A verb in a bad place, and what came of it."""
    lot, began = Random(f"disk {verb} {way} {seed}"), time.perf_counter()
    there = scene(verb, _disk())
    what, faults, told = WAYS[way](there, lot)
    return _unit(verb, way, seed, what, faults, told, began)


def _unit(
    subject: str, way: str, seed: int, what: str, faults: list[str], told: Told, began: float
) -> Unit:
    unit = Unit("disk", subject, way, seed, told=told)
    unit.add("lost" if faults else what, "; ".join(faults))
    unit.seconds = round(time.perf_counter() - began, 2)
    return unit


_held = contextlib.ExitStack()


@cache
def _disk() -> Path:
    """Mounted once, and gone with this process."""
    atexit.register(_held.close)
    return _held.enter_context(
        disk.small_disk(Path(tempfile.gettempdir()) / f"undertow-disk-{os.getpid()}")
    )


def preload() -> None:
    """Load the libraries that the verbs load, and be the parent of what is left behind."""
    kill_campaign.preload()


def units(kept: Mapping[str, Unit], parts: Sequence[str] = ()) -> Iterator[Callable[[], Unit]]:
    """What is still to do, of some ways or verbs or of all by turns."""
    preload()
    ways, verbs = [way for way in WAYS if way in parts], [verb for verb in VERBS if verb in parts]
    order = [(verb, way, FIRST_SEED + n) for n in range(ROUNDS) for way in WAYS for verb in VERBS]
    for verb, way, seed in order:
        chosen = way in (ways or WAYS) and verb in (verbs or VERBS)
        if chosen and f"disk/{verb}/{way}/{seed}" not in kept:
            yield lambda verb=verb, way=way, seed=seed: one_try(verb, way, seed)  # type: ignore[misc]


def planted() -> list[Unit]:
    """Faults of the kinds that are looked for, in the shortest verb: each has to be found."""
    preload()
    made = []
    for name, way, fault in (
        ("torn", "full", kill_campaign.not_atomic),
        ("swallowed", "full", _swallowed),
        ("untold", "read-only", _untold),
        ("temporary", "read-only", kill_campaign.temporary_stays),
        ("by-the-clock", "clock", _waits_by_the_clock),
        ("turns", "two", _out_of_turn),
    ):
        scene("attest", _disk())  # what it is without the fault
        unit = Unit("disk", f"planted-{name}", "lost", 0)
        for seed in range(24):
            with fault():
                tried = one_try("attest", way, seed)
            [outcome] = tried.outcomes
            unit.add(outcome, *tried.faults)
            unit.seconds += tried.seconds
            if tried.fault_count:
                break
        made.append(unit)
    return made


@contextmanager
def _swallowed() -> Iterator[None]:
    """What cannot be written is not written, and nobody says so."""
    from undertow.provenance import bundle

    write = bundle.atomic_write

    def written(path: Path | str, content: bytes | str) -> None:
        with contextlib.suppress(Exception):
            write(path, content)

    with patch.object(bundle, "atomic_write", written):
        yield


@contextmanager
def _untold() -> Iterator[None]:
    """What the system refuses ends as an error that nobody foresaw."""
    from undertow.data import files

    @contextmanager
    def unforeseen(path: Path | str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RuntimeError(error.strerror) from error

    with patch.object(files, "_refused_in_words", unforeseen):
        yield


@contextmanager
def _waits_by_the_clock() -> Iterator[None]:
    """A moment that has passed is waited for by the time of day."""
    from undertow.provenance import bundle

    write, passed = bundle.atomic_write, time.time()

    def written(path: Path | str, content: bytes | str) -> None:
        while time.time() < passed:
            pass
        write(path, content)

    with patch.object(bundle, "atomic_write", written), patch.object(disk, "LONGEST", 8.0):
        yield


@contextmanager
def _out_of_turn() -> Iterator[None]:
    """Whoever reads and writes anew does not wait for another one who does."""
    from undertow.provenance import bundle

    write = bundle.atomic_write

    def written(path: Path | str, content: bytes | str) -> None:
        time.sleep(0.5)
        write(path, content)

    alone = patch.object(bundle, "turn_to_write", lambda path: contextlib.nullcontext())
    with alone, patch.object(bundle, "atomic_write", written):
        yield


def _unfelt(unit: Unit) -> bool:
    """Whether the command had ended before the disk was short of anything."""
    short = unit.way in ("full", "read-only")
    return short and any(what.startswith("ended") and "cache" not in what for what in unit.outcomes)


def figures(kept: list[Unit]) -> list[Figure]:
    """All tries, those of each way and of each verb."""
    all_of_them = counted("disk", kept)
    ours = [unit for unit in all_of_them.units if not _unfelt(unit)]
    unfelt = len(all_of_them.units) - len(ours)
    told = [f"{unfelt} that ended before the disk was short are not counted"] if unfelt else []
    left_out = "; ".join([*told, all_of_them.left_out])
    made = [
        trap_figure("disk", all_of_them.traps, COMMAND),
        figure("disk: tries that lost something", ours, ASKED, COMMAND, left_out),
    ]
    for way in WAYS:
        of_way = [unit for unit in ours if unit.way == way]
        made.append(figure(f"disk: {way}", of_way, ASKED_A_WAY, COMMAND))
    for verb in VERBS:
        of_verb = [unit for unit in ours if unit.subject == verb]
        made.append(figure(f"disk: {verb}", of_verb, ASKED_A_VERB, COMMAND))
    return [replace(one, low=0.0) for one in made]
