"""
The one store of finished work: what was interrupted goes on where it stopped.

A piece of work has a name, under which its result stands in a folder as JSON, whole or not at all.

    Finished(folder, adapter)         results alone: FOLDER/NAME.json
    FinishedFolders(folder, model)    results beside the files that the work made: FOLDER/NAME/entry.json

What work keeps while it goes on, to go on after a kill, lies in `unfinished(...)` of its folder and goes with its end.
A result that does not parse is a ValueError: whether that is an error or work to be done again, its user says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from undertow.data.files import atomic_write, turn_to_write

if TYPE_CHECKING:
    from pydantic import TypeAdapter

R = TypeVar("R")
E = TypeVar("E", bound=BaseModel)

ENTRY = "entry.json"
"""The result in a folder of its own."""

_UNFINISHED = "unfinished"


def unfinished(folder: Path) -> Path:
    """Where work in this folder keeps what it needs to go on; removed when the work is finished."""
    return folder / _UNFINISHED


def cache_folder() -> Path:
    """Where controls, references and unfinished scans are kept: `$UNDERTOW_CACHE`, or the user's cache folder."""
    given = os.environ.get("UNDERTOW_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"


@dataclass(frozen=True)
class Finished(Generic[R]):
    """Results alone, one file each."""

    folder: Path | None
    """None where nothing is kept."""
    adapter: TypeAdapter[R]

    def path(self, name: str) -> Path | None:
        """Where a result stands, or will."""
        return None if self.folder is None else self.folder / f"{name}.json"

    def result(self, name: str) -> R | None:
        """
        The result of finished work; None of what is still to do.

        Raises:
            ValueError: what stands there is no such result.
        """
        path = self.path(name)
        if path is None or not path.is_file():
            return None
        return self.adapter.validate_json(path.read_bytes())

    def sound(self, name: str) -> R | None:
        """The same, and None of what is damaged too: for whoever makes that anew."""
        try:
            return self.result(name)
        except ValueError:
            return None

    def keep(self, name: str, result: R) -> None:
        """
        Store a result.

        Raises:
            UndertowError: no space is left, or the place cannot be written to.
        """
        path = self.path(name)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, self.adapter.dump_json(result))

    def clear(self) -> None:
        """Forget all results, which nobody needs any more."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.json"):
                path.unlink(missing_ok=True)
            self.folder.rmdir()


@dataclass(frozen=True)
class FinishedFolders(Generic[E]):
    """Results beside the files that the work made, one folder each."""

    folder: Path
    model: type[E]

    def path(self, name: str) -> Path:
        """Where a result stands, or will."""
        return self.folder / name / ENTRY

    def result(self, name: str) -> E | None:
        """
        The result of finished work; None of what is still to do.

        Raises:
            ValidationError: what stands there is no such result.
        """
        try:
            return self.model.model_validate_json(self.path(name).read_bytes())
        except FileNotFoundError:
            return None

    def once(self, name: str, work: Callable[[Path], E]) -> E:
        """
        The result, made if it is not there yet; a process that is making it is waited for.

        Raises:
            OSError: its folder cannot be made.
            InputError: the place cannot be written to.
            UndertowError: what `make` and the work raise.
        """
        found = self.result(name)
        if found is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with turn_to_write(self.folder / name):
                found = self.result(name) or self.make(name, work)
        return found

    def make(self, name: str, work: Callable[[Path], E]) -> E:
        """
        Work in a folder that takes its name only when the result is in it.

        Of work that raises or is killed nothing stays but what it keeps in `unfinished`, which its next try finds.

        Raises:
            UndertowError: no space is left, or the place cannot be written to; and what the work raises.
        """
        partial = self.folder / f"{name}.partial"
        if (partial / ENTRY).is_file():
            # Written last: only the name is missing.
            return self._named(partial, name)
        _cleared(partial)
        partial.mkdir(parents=True, exist_ok=True)
        try:
            result = work(partial)
            atomic_write(partial / ENTRY, result.model_dump_json(indent=1))
        except Exception:
            _cleared(partial)
            raise
        return self._named(partial, name)

    def _named(self, partial: Path, name: str) -> E:
        result = self.model.model_validate_json((partial / ENTRY).read_bytes())
        shutil.rmtree(unfinished(partial), ignore_errors=True)
        partial.rename(self.folder / name)
        return result


def _cleared(partial: Path) -> None:
    """The folder without what is made anew; gone where work kept nothing in it."""
    for path in partial.iterdir() if partial.is_dir() else ():
        if path.name == _UNFINISHED and any(path.iterdir()):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        partial.rmdir()
