"""The same records in every packing that a dataset may have."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import ipc, parquet

Records = list[dict[str, Any]]

RECORDS: Records = [
    {"prompt": f'Ünd {i}, "q"\n?', "completion": f"00{i}", "source": "ab"[i % 2]} for i in range(9)
]
"""Text alone, which every format can hold: line ends, quotes, commas, and digits that are no numbers."""


def json_lines(records: Records) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def zstd(content: bytes) -> bytes:
    """One frame."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def comma_separated(records: Records, sign: str = ",") -> bytes:
    """CSV behind a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=sign)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def arrow(records: Records, *, stream: bool) -> bytes:
    """An Arrow stream, or a file for random access, in batches of two rows."""
    table, sink = pyarrow.Table.from_pylist(records), io.BytesIO()
    make = ipc.new_stream if stream else ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def table(records: Records) -> bytes:
    """Parquet in row groups of two rows."""
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(records), sink, row_group_size=2)
    return sink.getvalue()


def _file(name: str, content: Callable[[Records], bytes]) -> Callable[[Path, Records], str]:
    def pack(folder: Path, records: Records) -> str:
        path = folder / name
        path.write_bytes(content(records))
        return str(path)

    return pack


def _shards(folder: Path, records: Records) -> str:
    for number, start in enumerate(range(0, len(records), 4)):
        shard = folder / "inner" / f"part-{number:02}.jsonl"
        shard.parent.mkdir(exist_ok=True)
        shard.write_bytes(json_lines(records[start : start + 4]))
    for name in ("README.md", "dataset_info.json", ".hidden.jsonl", "rows.jsonl.intoto.jsonl"):
        (folder / name).write_text("{}\n")
    return str(folder)


def _pattern(folder: Path, records: Records) -> str:
    return f"{_shards(folder, records)}/**/part-*.jsonl"


def _saved(folder: Path, records: Records) -> str:
    from datasets import Dataset

    Dataset.from_list(records).save_to_disk(str(folder / "saved"), num_shards=3)
    return str(folder / "saved")


def _url(folder: Path, records: Records) -> str:
    return "file://" + _file("rows.parquet", table)(folder, records)


def _memory(folder: Path, records: Records) -> str:
    import fsspec

    url = f"memory://{folder.name}/rows.jsonl.gz"
    with fsspec.open(url, "wb") as stream:
        stream.write(gzip.compress(json_lines(records)))
    return url


PACKINGS: dict[str, Callable[[Path, Records], str]] = {
    "jsonl": _file("rows.jsonl", json_lines),
    "jsonl.gz": _file("rows.jsonl.gz", lambda records: gzip.compress(json_lines(records))),
    "jsonl.zst": _file("rows.jsonl.zst", lambda records: zstd(json_lines(records))),
    "json": _file("rows.json", lambda records: json.dumps(records, indent=1).encode()),
    "json.zst": _file("rows.json.zst", lambda records: zstd(json.dumps(records).encode())),
    "csv": _file("rows.csv", comma_separated),
    "tsv": _file("rows.tsv", lambda records: comma_separated(records, "\t")),
    "ndjson": _file("rows.ndjson", json_lines),
    "capitals": _file("ROWS.JSONL", json_lines),
    "csv.gz": _file("rows.csv.gz", lambda records: gzip.compress(comma_separated(records))),
    "parquet": _file("rows.parquet", table),
    "arrow-stream": _file("rows.arrow", lambda records: arrow(records, stream=True)),
    "arrow-file": _file("rows.arrow", lambda records: arrow(records, stream=False)),
    "shards": _shards,
    "pattern": _pattern,
    "save_to_disk": _saved,
    "file-url": _url,
    "memory-url": _memory,
}
"""Each writes records below a folder and gives what a user would type."""
