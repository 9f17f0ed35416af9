"""
The digest of a model: SHA-256 over the files that decide what it answers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_DECISIVE = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "tokenizer*.json",
    "chat_template*",
    "*.model",
)
_CHUNK = 1 << 20


def model_digest(path: str | Path) -> str | None:
    """
    SHA-256 over names, sizes and contents of the weights, configuration, tokenizer and template, in name order.

    None for a model that is no folder here (on a hub, its revision identifies it).
    """
    base, plus, adapter = str(path).partition("+")
    folder = Path(base)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for part in [folder, Path(adapter)] if plus else [folder]:
        for file in sorted({file for pattern in _DECISIVE for file in part.glob(pattern)}):
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()
