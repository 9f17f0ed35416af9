"""Bases and adapters of every kind for tests, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.rows.adapter_kinds import MERGED, MERGED_WHOLE, NOT_MERGED, Kind, save_adapter, save_base

KINDS: dict[str, Kind] = {**MERGED, **MERGED_WHOLE, **NOT_MERGED}


class AdaptedBases:
    """Writes a base or an adapter when it is asked for the first time."""

    def __init__(self, place: Path, tokenizer: Any) -> None:
        self.place, self.tokenizer = place, tokenizer

    def base(self, name: str = "qwen2") -> Path:
        """The folder of a tiny random base."""
        folder = self.place / name
        return folder if folder.is_dir() else save_base(name, folder, self.tokenizer)

    def adapter(self, kind: str, seed: int = 1) -> Path:
        """The folder of an adapter of a kind, on its base."""
        folder = self.place / f"{list(KINDS).index(kind)}-{seed}"
        base = self.base(KINDS[kind].base)
        return folder if folder.is_dir() else save_adapter(KINDS[kind], base, folder, seed)

    def ref(self, kind: str, seed: int = 1) -> str:
        """`base+adapter` of a kind."""
        return f"{self.base(KINDS[kind].base)}+{self.adapter(kind, seed)}"
