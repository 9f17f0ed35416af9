"""What a file is by its name (format, compression, split) and by its first bytes, and how to make rows of one that is not read."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import PurePosixPath

from undertow.data.remote_files import is_url
from undertow.errors import DataError

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
TEXT = ("jsonl", "json", "csv", "tsv")
"""Formats that may be compressed."""

ALLOWED = (
    ".jsonl, .json, .csv (each also as .gz or .zst), .ndjson, .tsv, .parquet, .arrow, or a folder, a pattern or a URL of "
    "these, org/name[:config][@split] on the hub, or -"
)

_OURS = (".intoto.jsonl", ".ledger.jsonl")
"""What attestations leave beside data."""

_UNPACKED_BY = {
    ".xz": "xz --decompress --keep {path}",
    ".bz2": "bunzip2 --keep {path}",
    ".lz4": "lz4 --decompress {path}",
    ".gz": "gunzip --keep {path}",
    ".zst": "unzstd {path}",
    ".zip": "unzip {path} -d {folder}",
    ".7z": "7z x {path}",
    ".tar": "mkdir {folder} && tar --extract --file {path} --directory {folder}",
    ".tgz": "mkdir {folder} && tar --extract --file {path} --directory {folder}",
}
_TABLES = {
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".feather": "read_feather",
    ".orc": "read_orc",
}
"""Tables, by what pandas reads them with."""

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_NUMBERED = re.compile(r"(?:.*/)?(\w+)-\d{5}-of-\d{5}[^/]*")

_SIGNS = (
    (rb"\x1f\x8b", "gzip", ".gz"),
    (rb"(?:[\x50-\x5f]\x2a\x4d\x18|\x28\xb5\x2f\xfd)", "zstd", ".zst"),
    (rb"PAR1[^ -~]", "Parquet", ".parquet"),
    (rb"ARROW1\x00", "Arrow", ".arrow"),
    (rb"PK\x03\x04", "a zip archive", ".zip"),
    (rb"BZh[1-9]1AY&SY", "bzip2", ".bz2"),
    (rb"\xfd7zXZ\x00", "xz", ".xz"),
)
"""First bytes, what they are a sign of, and the suffix of such a file."""

_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html")

HEAD = 64
"""Bytes from which a file is known."""


def format_of(path: str) -> tuple[str, str | None] | None:
    """
    The format and the compression that a path's suffixes name, in any case; None where they name no rows.

    >>> format_of("data/rows.jsonl.gz"), format_of("rows.PARQUET"), format_of("README.md")
    (('jsonl', 'gzip'), ('parquet', None), None)
    """
    name = _name(path).lower()
    if name.endswith(_OURS):
        return None
    suffixes = PurePosixPath(name).suffixes[-2:]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes = suffixes[:-1]
    kind = FORMATS.get(suffixes[-1]) if suffixes else None
    if kind is None or (compression is not None and kind not in TEXT):
        return None
    return kind, compression


def split_named(path: str) -> str | None:
    """
    The split that a path says its rows belong to, as the library `datasets` takes it.

    >>> split_named("data/train-00000-of-00002.parquet"), split_named("dev.jsonl"), split_named("rows.jsonl")
    ('train', 'validation', None)
    """
    words = re.split(r"[^A-Za-z]+", path)
    for split, names in _SPLIT_WORDS.items():
        if any(name in words for name in names):
            return split
    numbered = _NUMBERED.fullmatch(path)
    return numbered.group(1) if numbered else None


def to_unpack(path: str) -> str:
    """
    The command that makes a file that is read of one that may hold rows and is not; empty where there is none.

    >>> to_unpack("rows.jsonl.xz"), to_unpack("my rows.zip"), to_unpack("README.md")
    ('xz --decompress --keep rows.jsonl.xz', "unzip 'my rows.zip' -d 'my rows'", '')
    """
    suffixes = PurePosixPath(_name(path).lower()).suffixes
    last = suffixes[-1] if suffixes else ""
    inner = suffixes[-2] if len(suffixes) > 1 else ""
    if inner == ".tar":
        last = inner + last
    if last in COMPRESSIONS and inner not in FORMATS:
        return ""  # a packed log or picture, as likely as rows
    command = _UNPACKED_BY.get(last, _UNPACKED_BY[".tar"] if inner == ".tar" else "")
    before, here = _here(path)
    if command:
        folder = here[: -len(last)]
        return before + command.format(path=shlex.quote(here), folder=shlex.quote(folder))
    if last in _TABLES:
        given, made = json.dumps(here), json.dumps(here + ".parquet")
        program = f"import pandas; pandas.{_TABLES[last]}({given}).to_parquet({made})"
        return f"{before}python -c {shlex.quote(program)}"
    return ""


def to_name(path: str) -> str:
    """What to do with a file whose suffix names nothing that is read."""
    packed = to_unpack(path)
    if packed:
        return packed
    before, here = _here(path)
    if PurePosixPath(here).suffix.lower() in ("", ".txt", ".jl", ".jsonlines", ".log"):
        command = f"cp {shlex.quote(here)} {shlex.quote(here + '.jsonl')}"
        return f"{before}if it holds one JSON object a line, say so: {command}"
    return "write its rows to a .jsonl or .parquet file"


def refuse_misnamed(path: str, kind: str, compression: str | None, head: bytes) -> None:
    """
    Refuse a file that is by its first bytes plainly something else than its name says.

    Raises:
        DataError: saying what it is, and the command that mends it.
    """
    before, here = _here(path)
    problem = _unfetched(head) or _misnamed(here, kind, compression, head)
    if problem is not None:
        raise DataError(f"'{path}' is {problem[0]}", hint=before + problem[1])


def _unfetched(head: bytes) -> tuple[str, str] | None:
    """What stands in the place of a file, and what to do."""
    if head.startswith(_POINTER):
        return "a pointer of Git LFS, which stands in the place of the file", "git lfs pull"
    if head.lstrip().lower().startswith(_PAGES):
        hint = "fetch the file itself (on the hub, 'resolve' in the place of 'blob')"
        return "a web page, not the file", hint
    return None


def _misnamed(path: str, kind: str, compression: str | None, head: bytes) -> tuple[str, str] | None:
    """What a file is in the place of what its name says, and the command that mends it."""
    expected, quoted = compression or kind, shlex.quote(path)
    bare = path if compression is None else path[: -len(PurePosixPath(path).suffix)]
    begins = f"as its name says: it begins with {head[:16].decode('latin-1')!a}"
    form, suffix = _by_sign(head)
    if suffix and form.lower() != expected:
        hint = _rename(path, bare + suffix)
        if suffix in COMPRESSIONS and kind not in TEXT:
            tool = _UNPACKED_BY[suffix].split()[0]
            hint = f"unpack it: {tool} < {quoted} > {shlex.quote(f'{path}.{kind}')}"
        return f"{form}, which its name does not say", hint
    if compression is not None and head and not suffix:
        return f"not {compression}, {begins}", _rename(path, bare)
    if expected in TEXT and (encoding := _encoding(head)):
        made = f"{path}.utf8{PurePosixPath(path).suffix}"
        command = f"iconv -f {encoding} -t UTF-8 {quoted} > {shlex.quote(made)}"
        return f"{encoding}; allowed: UTF-8", command
    if expected == "parquet" and head.lstrip()[:1] in (b"{", b"["):
        return f"no Parquet, {begins}", _rename(path, path + ".jsonl")
    return None


def _by_sign(head: bytes) -> tuple[str, str]:
    for sign, name, suffix in _SIGNS:
        if re.match(sign, head):
            return name, suffix
    return "", ""


def _encoding(head: bytes) -> str:
    for sign, name in _ENCODINGS:
        if head.startswith(sign):
            return name
    # Without a mark, every second letter of plain text is a zero.
    if head[1::2].count(0) > len(head) // 4:
        return "UTF-16LE"
    return "UTF-16BE" if head[::2].count(0) > len(head) // 4 else ""


def _rename(path: str, name: str) -> str:
    return f"name it by what it is: cp {shlex.quote(path)} {shlex.quote(name)}"


def _here(path: str) -> tuple[str, str]:
    """What to do before a command on a file, and its path here then."""
    return ("fetch it, then ", _name(path)) if is_url(path) else ("", path)


def _name(path: str) -> str:
    return PurePosixPath(path.partition("?")[0] if is_url(path) else path).name
