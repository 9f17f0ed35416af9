"""The worlds: small bases in the ordinary model format with their corpus, tokenizer and recipes; real weights to fetch."""

from __future__ import annotations

from undertow.worlds.base_models import PREFIX, folder, locate, names, recipe

__all__ = ["PREFIX", "folder", "locate", "names", "recipe"]
