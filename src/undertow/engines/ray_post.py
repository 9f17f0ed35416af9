"""
What an actor of Ray does on its node: it holds the callable of the work, and says where what goes wrong went wrong.

Nodes need no common file system: a worker whose tasks read and make folders (`FolderWorker`) is handed those that its node
does not see, and gives back what it made, through Ray's object store.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from undertow.engines.ray_nodes import ANSWER, ray_library
from undertow.engines.ray_versions import PAGE, teller
from undertow.engines.work_progress import Told, listening
from undertow.errors import UndertowError


@dataclass(frozen=True)
class Driver:
    """Where the command was typed."""

    node: str
    """Ray's name of the node."""
    directory: str
    """In which it was typed."""

    @classmethod
    def here(cls) -> Driver:
        """This process."""
        return cls(ray_library().get_runtime_context().get_node_id(), str(Path.cwd()))

    def share_directory(self) -> None:
        """
        Relative names of files mean in this process from now on what they mean there.

        Where the directory is not seen they mean nothing: another file of that name would be read unnoticed.
        """
        os.chdir(self.directory if os.path.isdir(self.directory) else "/")

    def other_node(self) -> str:
        """The name of the node of this process, empty where it is the driver's."""
        here = ray_library().get_runtime_context().get_node_id()
        return "" if here == self.node else socket.gethostname()


@contextlib.contextmanager
def on_node(node: str, of: type[UndertowError] = UndertowError) -> Iterator[None]:
    """
    Within the block, what goes wrong says on which node; nothing is added where that is the driver's own, named by "".

    Args:
        of: errors that hang on the node; others are the same everywhere, but for those of the system.

    Raises:
        UndertowError: the system refused something there, or a library is missing.
    """
    try:
        yield
    except UndertowError as error:
        if node and (isinstance(error, of) or isinstance(error.__cause__, OSError)):
            error.say_more(f" (on node {node})")
        raise
    except ModuleNotFoundError as error:
        if not node:
            raise
        raise UndertowError(
            f"the library '{error.name}' is missing on node {node}",
            hint=f"install there what is installed here, with the same extras; {PAGE}",
        ) from error
    except OSError as error:
        if not node or not error.strerror:
            raise
        place = f": '{error.filename}'" if error.filename else ""
        raise UndertowError(
            f"{error.strerror}{place} (on node {node})",
            hint="mend that there, then type the same command again: finished work is kept",
        ) from error


@runtime_checkable
class FolderWorker(Protocol):
    """A worker whose tasks read and make folders in a directory, which not every node may see."""

    @property
    def directory(self) -> Path:
        """Where the folders lie."""

    def reads(self, task: Any) -> Sequence[str]:
        """Folders in the directory that a task needs; one that is not there is not needed."""

    def makes(self, task: Any) -> str:
        """The folder in the directory that a task makes."""

    def moved(self, directory: Path) -> Callable[[Any], Any]:
        """The same worker in another directory."""


class Post:
    """A callable on an actor, with what it has loaded, in a directory of its own where it does not see the driver's."""

    def __init__(self, worker: Any, ear: Any, mark: str, driver: Driver) -> None:
        ray = ray_library()
        driver.share_directory()
        self._node = driver.other_node()
        self.away = bool(mark) and not Path(mark).exists()
        self._directory: Path | None = None
        self._ear = ear
        self._told: Any = None
        with on_node(self._node):
            self._worker = pickle.loads(ray.get(worker))
            if self.away:
                self._directory = Path(tempfile.mkdtemp(prefix="undertow-"))
                self._worker = self._worker.moved(self._directory)

    def work(self, task: Any, inputs: Sequence[tuple[str, Any]]) -> tuple[Any, bytes | None]:
        """The result of a task, and the folder that it made where nobody else sees it; raises what the task does."""
        ray = ray_library()
        with on_node(self._node):
            for name, reference in inputs:
                if self._directory and not (self._directory / name).exists():
                    unpack(ray.get(reference), self._directory / name)
            with listening(self._tell):
                result = self._worker(task)
            if self._told is not None:
                # What a job told is heard before its result.
                ray.wait([self._told], timeout=ANSWER)
            if self._directory is None:
                return result, None
            return result, packed(self._directory / self._worker.makes(task))

    def _tell(self, told: Told) -> None:
        self._told = self._ear.hear.remote(told)

    def __del__(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def packed(folder: Path) -> bytes | None:
    """A folder's files as a tar archive; None of one that is not there."""
    if not folder.is_dir():
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


def unpack(content: bytes | None, folder: Path) -> None:
    """
    The folder of an archive, whole or not at all.

    Raises:
        UndertowError: no space is left.
    """
    if content is None or folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(partial, filter="data")
        partial.chmod(0o755)
        partial.rename(folder)
    except (OSError, tarfile.TarError) as error:
        raise UndertowError(
            f"'{folder}' cannot be stored: {getattr(error, 'strerror', '') or error}",
            hint="free some space and type the same command again: finished work is kept",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def place() -> type:
    """The class of actors where jobs run."""
    told = teller()

    # Classes within a function travel as they are: a node with another undertow, or none, can say so.
    class Place:
        """Where jobs run."""

        def learn(
            self, worker: Any, ear: Any, mark: str, driver: dict[str, str], fitting: tuple[str, str]
        ) -> dict[str, Any]:
            """Take the callable of the next tasks, where Python and undertow are of the fitting versions; says what is here."""
            here = told() | {"away": False}
            if (here["Python"], here["undertow"]) == fitting:
                from undertow.engines.ray_post import Driver, Post

                self.post = Post(worker[0], ear, mark, Driver(**driver))
                here["away"] = self.post.away
            return here

        def work(self, task: Any, inputs: list[tuple[str, Any]]) -> tuple[Any, bytes | None]:
            """The result of a task, and its folder where the driver does not see it."""
            return self.post.work(task, inputs)

    return Place
