"""The embedded world: small bases in the ordinary model format, their corpus, tokenizer and recipes."""

from __future__ import annotations

from undertow.worlds.base_models import PREFIX, folder, locate, names, recipe

__all__ = ["PREFIX", "folder", "locate", "names", "recipe"]
