"""
What a dataset is: its shards in their order, found from what a user typed, and what lies beside them and is passed over.

`open_dataset` is the one function that every verb asks; nothing is read here but names and the first bytes of `.json`.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from undertow.data.column_names import rows_within
from undertow.data.file_forms import ALLOWED, format_of, split_named, to_name, to_unpack
from undertow.data.remote_files import RemoteFiles, is_url, splits_of
from undertow.data.row_shapes import SHAPES
from undertow.data.shard import HUB, STANDARD_INPUT, Shard
from undertow.errors import DataError

_ABOUT = {
    *("config.json", "croissant.json", "dataset_dict.json", "dataset_info.json"),
    *("dataset_infos.json", "metadata.json", "state.json"),
}
"""JSON that describes a dataset."""

_OF_MODELS = ("config.json", "adapter_config.json")
_PEEK = 1 << 20
_NAMED = 12
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[^:@/]+))?(?:@(?P<split>\w+))?")


@dataclass(frozen=True)
class RowDataset:
    """Rows as they lie: the rows of the shards, one shard behind the other."""

    reference: str
    shards: tuple[Shard, ...]
    """At least one; in the order of their paths."""
    passed_over: tuple[str, ...] = ()
    """Paths of what lies there and holds no rows."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names that a shape has for columns, each with the column's own name here; "" for one that is left out."""
    columns_optional: bool = False
    """Whether rows may have none of these columns."""
    wrapped: bool = False
    """Whether plain strings are the turns of a chat, as for a trainer that puts them into the chat template."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: how many shards, which splits, and what was passed over."""
        made = []
        if len(self.shards) > 1:
            made.append(
                f"{len(self.shards)} shards, read in the order of their names, from "
                f"'{self.shards[0].path}' to '{self.shards[-1].path}'"
            )
        splits = [shard.split for shard in self.shards]
        if len(set(splits)) > 1:
            counts = ", ".join(
                f"{split or 'no split'} ({splits.count(split)})" for split in dict.fromkeys(splits)
            )
            made.append(f"all splits are read: {counts}; one of them: {self.reference}@train")
        if self.passed_over:
            top = self.reference.rpartition("@")[0] or self.reference
            below = [path.removeprefix(top.rstrip("/") + "/") for path in self.passed_over]
            made.append(f"passed over, since they hold no rows: {listed(below)}")
        return tuple(made)


class NoRowsError(DataError):
    """There is something, and none of it holds rows."""


class _Files(Protocol):
    """Where files lie."""

    def below(self, folder: str) -> list[str]:
        """All files in a folder, relative to it, with `/`; hidden folders as one name that ends in `/`."""

    def head(self, path: str, size: int) -> bytes:
        """Its first bytes."""


def open_dataset(reference: str | Path) -> RowDataset:
    """
    The dataset that a user named: a file, a folder, a pattern, a URL, a name on the hub, or standard input.

    A folder or a pattern gives its files in the order of their paths; a folder that `save_to_disk` wrote gives its data
    files. `FOLDER@SPLIT` gives the shards whose names say that they belong to the split.

    Raises:
        DataError: nothing is there, none of it holds rows, it mixes formats, or links go round in a circle.
    """
    text = str(reference)
    if text == STANDARD_INPUT:
        return RowDataset(text, (Shard(text, "jsonl"),))
    if is_url(text):
        return _remote(text)
    if os.path.isdir(text):
        return _folder(text, _LocalFiles())
    if os.path.lexists(text):
        return RowDataset(text, (_file(text),))
    before, at, split = text.rpartition("@")
    if at and os.path.isdir(before):
        return _split(_folder(before, _LocalFiles()), split)
    if glob.has_magic(text):
        matches = sorted(glob.glob(text, recursive=True), key=lambda path: Path(path).as_posix())
        return _gathered(text, [path for path in matches if os.path.isfile(path)], _LocalFiles())
    if (hub := _named_on_hub(text)) is not None:
        return _on_hub(text, hub)
    raise DataError(f"no such file: '{text}'", hint=nearby_file(text))


def is_rows(reference: str) -> bool:
    """
    Whether what could be a model as well is a dataset: a file, a pattern, a URL, or a folder of rows without a model's
    configuration. A name on the hub is taken for a model.

    Raises:
        DataError: the folder mixes formats, or links go round in a circle.
    """
    folder = reference if os.path.isdir(reference) else reference.rpartition("@")[0]
    if not os.path.isdir(folder):
        return os.path.isfile(reference) or is_url(reference) or glob.has_magic(reference)
    if any(os.path.exists(os.path.join(folder, name)) for name in _OF_MODELS):
        return False
    try:
        return bool(open_dataset(reference).shards)
    except NoRowsError:
        return False


def nearby_file(path: str) -> str:
    """The file that was meant, or the command that lists what there is."""
    folder = os.path.dirname(path) or "."
    there = os.listdir(folder) if os.path.isdir(folder) else []
    near = difflib.get_close_matches(os.path.basename(path), there, n=1)
    if near:
        return f"did you mean '{os.path.join(os.path.dirname(path), near[0])}'?"
    return f"ls -lA {shlex.quote(folder if os.path.isdir(folder) else '.')}"


def place_of(reference: str | Path) -> Path:
    """
    Beside which path lies what is said of a dataset: its own, or for what has none here, a name in the working directory.

    >>> place_of("data/rows.jsonl").as_posix(), place_of("s3://bucket/data/*.jsonl").as_posix()
    ('data/rows.jsonl', 's3-bucket-data-.jsonl')
    """
    text = str(reference)
    named = is_url(text) or glob.has_magic(text) or _named_on_hub(text)
    if os.path.lexists(text) or not named or os.path.isdir(text.rpartition("@")[0]):
        return Path(text)
    return Path(re.sub(r"[^\w.@=]+", "-", text).strip("-."))


def listed(paths: Sequence[str]) -> str:
    """The first few of some paths, and how many more there are."""
    names = ", ".join(f"'{path}'" for path in paths[:_NAMED])
    return names + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")


def _file(path: str) -> Shard:
    kind = format_of(path)
    if kind is None:
        suffix = "".join(PurePosixPath(path).suffixes[-2:])
        raise NoRowsError(
            f"'{path}' has the suffix '{suffix}'; allowed: {ALLOWED}", hint=to_name(path)
        )
    return Shard(path, *kind)


def _folder(folder: str, files: _Files) -> RowDataset:
    names = files.below(folder)
    saved = _saved(folder, names, files)
    if saved is not None:
        return saved
    paths = [f"{folder.rstrip('/')}/{name}" for name in names]
    return _gathered(folder, paths, files, below=len(folder.rstrip("/")) + 1)


def _gathered(reference: str, paths: Sequence[str], files: _Files, *, below: int = 0) -> RowDataset:
    """Those of the paths that hold rows; what stands before `below` in a path says nothing of its split."""
    shards, others, unread = [], [], []
    for path in paths:
        kind = format_of(path)
        hidden = any(part.startswith(".") for part in path[below:].split("/"))
        if kind is None or hidden or PurePosixPath(path).name in _ABOUT:
            others.append(path)
            if kind is None and not hidden and to_unpack(path):
                unread.append(path)
        else:
            shards.append(Shard(path, *kind, split=split_named(path[below:])))
    documents = [shard.path for shard in shards if _describes(shard, files)]
    shards = [shard for shard in shards if shard.path not in documents]
    others = sorted([*others, *documents])
    if not shards:
        what = f"only {listed(others)}" if others else "no file"
        raise NoRowsError(
            f"'{reference}' holds no rows: {what}; allowed: {ALLOWED}",
            hint=to_unpack(unread[0]) if unread else _look(reference),
        )
    _refuse_mixed(reference, shards)
    if unread:
        raise DataError(
            f"'{reference}' holds, beside rows, what may be more of them and is not read: {listed(unread)}",
            hint=f"{to_unpack(unread[0])}, and name those that you train on, in quotes: "
            f"{_pattern(reference, shards)}",
        )
    return RowDataset(reference, tuple(shards), tuple(others))


def _look(reference: str) -> str:
    place = reference if os.path.isdir(reference) else os.path.dirname(reference) or "."
    return "name another place" if is_url(reference) else f"ls -lA {shlex.quote(place)}"


def _refuse_mixed(reference: str, shards: Sequence[Shard]) -> None:
    formats = sorted({shard.format for shard in shards})
    if len(formats) < 2:
        return
    counts = ", ".join(
        f"{kind} ({listed([shard.path for shard in shards if shard.format == kind])})"
        for kind in formats
    )
    usual = max(formats, key=lambda kind: sum(shard.format == kind for shard in shards))
    pattern = _pattern(reference, [shard for shard in shards if shard.format == usual])
    raise DataError(
        f"'{reference}' mixes formats, and rows may lie there twice: {counts}",
        hint=f"name those that you train on, in quotes: {pattern}",
    )


def _pattern(reference: str, shards: Sequence[Shard]) -> str:
    """Shards of one format below what was named, as the command line takes them."""
    endings = {
        "".join(PurePosixPath(shard.path).suffixes[-2 if shard.compression else -1 :])
        for shard in shards
    }
    kind = shards[0].format
    ending = endings.pop() if len(endings) == 1 else f".{kind}{'' if kind == 'json' else '*'}"
    folder = reference.rstrip("/")
    if not os.path.isdir(reference) and glob.has_magic(reference):
        folder = os.path.dirname(reference)
    elif not is_url(reference):
        folder = glob.escape(folder)
    return "'" + f"{folder or '.'}/**/*{ending}".replace("'", "'\\''") + "'"


def _describes(shard: Shard, files: _Files) -> bool:
    """Whether a `.json` file is one object that is no row, as descriptions are, and neither an array nor JSON Lines."""
    if shard.format != "json" or shard.compression is not None:
        return False
    head = files.head(shard.path, _PEEK)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith(b"{") or len(head) == _PEEK:
        return False
    first, _, rest = text.partition(b"\n")
    try:
        record = json.loads(text if rest.strip() else first)
    except (ValueError, RecursionError):
        return False  # lines, or what is no JSON at all and is told where it is read
    return not any(set(shape.columns) <= set(record) for shape in SHAPES) and not rows_within(
        record
    )


def _saved(folder: str, names: Sequence[str], files: _Files) -> RowDataset | None:
    """What `save_to_disk` left in a folder, or in one folder a split; None where it left nothing."""
    states = [name for name in names if PurePosixPath(name).name == "state.json"]
    if "dataset_dict.json" not in names and "state.json" not in names:
        return None
    shards: list[Shard] = []
    top = folder.rstrip("/")
    for state in states:
        inner = str(PurePosixPath(state).parent)
        split = None if inner == "." else inner
        for name in _data_files(f"{top}/{state}", files):
            path = f"{top}/{name}" if split is None else f"{top}/{inner}/{name}"
            if path[len(top) + 1 :] not in names:
                raise DataError(
                    f"'{top}/{state}' names the data file '{name}', which is not there",
                    hint="copy the whole folder again",
                )
            shards.append(Shard(path, "arrow", split=split))
    if not shards:
        return None
    read = {shard.path for shard in shards}
    others = [path for name in names if (path := f"{top}/{name}") not in read]
    return RowDataset(folder, tuple(shards), tuple(others))


def _data_files(state: str, files: _Files) -> list[str]:
    try:
        table = json.loads(files.head(state, 1 << 24))
        names = [entry["filename"] for entry in table["_data_files"]]
        chosen = table.get("_indices_data_files") or table.get("_indices_files")
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"'{state}' does not say which files hold the rows, as save_to_disk's does",
            hint="save the dataset again, or name the .arrow files",
        ) from error
    if chosen:
        raise DataError(
            f"'{state}' keeps an order or a choice of rows beside the data (_indices_files), which is not read",
            hint="load it and save it again: dataset.flatten_indices().save_to_disk(...)",
        )
    if not all(isinstance(name, str) and name == PurePosixPath(name).name for name in names):
        raise DataError(f"'{state}' names a data file that is no file in its folder")
    return names


def _split(dataset: RowDataset, split: str) -> RowDataset:
    shards = tuple(shard for shard in dataset.shards if shard.split == split)
    if not shards:
        there = dict.fromkeys(shard.split for shard in dataset.shards if shard.split)
        raise DataError(
            f"'{dataset.reference}' has no split '{split}'; found: {', '.join(there) or 'none'}",
            hint=f"name the folder alone, to read all of it: '{dataset.reference}'",
        )
    others = [shard.path for shard in dataset.shards if shard.split != split]
    return RowDataset(
        f"{dataset.reference}@{split}", shards, tuple(sorted([*dataset.passed_over, *others]))
    )


def _remote(url: str) -> RowDataset:
    files = RemoteFiles(url)
    before, at, split = url.rpartition("@")
    query = url.startswith(("http:", "https:")) and "?" in url
    if not query and glob.has_magic(url.partition("://")[2]):
        return _gathered(url, files.matches(), files)
    if query or format_of(url) is not None:
        return RowDataset(url, (_file(url),))
    if at and re.fullmatch(r"\w+", split) and not files.is_folder(url):
        return _split(_folder(before, RemoteFiles(before)), split)
    return _folder(url, files)


def _named_on_hub(text: str) -> re.Match[str] | None:
    """The parts of a name on the hub; None where it looks like a path: a suffix of rows, or a folder that is here."""
    if format_of(text) is not None or os.path.isdir(os.path.dirname(text)):
        return None
    return _HUB.fullmatch(text)


def _on_hub(text: str, hub: re.Match[str]) -> RowDataset:
    name = hub["name"] + (f":{hub['config']}" if hub["config"] else "")
    splits = [hub["split"]] if hub["split"] else splits_of(name)
    shards = [Shard(f"{name}@{split}", HUB, split=split) for split in splits]
    return RowDataset(text, tuple(shards))


class _LocalFiles:
    """Files on this disk."""

    def below(self, folder: str) -> list[str]:
        """All files in a folder; hidden folders are not looked into, links to folders are followed."""
        names: list[str] = []
        self._walk(folder, "", (os.path.realpath(folder),), names)
        return sorted(names)

    def head(self, path: str, size: int) -> bytes:
        """Its first bytes."""
        try:
            with open(path, "rb") as stream:
                return stream.read(size)
        except OSError as error:
            raise DataError(f"cannot read '{path}': {error.strerror or error}") from error

    def _walk(self, folder: str, inner: str, above: tuple[str, ...], names: list[str]) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"cannot read '{folder}': {error.strerror or error}") from error
        for entry in entries:
            name = inner + entry.name
            if not entry.is_dir():
                names.append(name)
            elif entry.name.startswith("."):
                names.append(name + "/")
            else:
                place = os.path.realpath(entry.path)
                if place in above:
                    raise DataError(
                        f"'{entry.path}' is a link back to '{place}', which holds it: a circle without end",
                        hint=f"remove the link: rm '{entry.path}'",
                    )
                self._walk(entry.path, name + "/", (*above, place), names)
