"""
A file of traits in either of its formats: candidates for all questions, or answers of each question's own.
"""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path

from undertow.data.closed import parse, read_toml
from undertow.traits.topic_file import TopicFile
from undertow.traits.trait_file import TraitFile


def category_file(path: Path | Traversable) -> TraitFile | TopicFile:
    """
    The parsed file; the key `topics` tells the formats apart.

    Raises:
        ConfigError: if the file is missing or malformed.
    """
    tables = read_toml(path)
    if "topics" in tables:
        return parse(TopicFile, tables, where=f"'{path}'")
    return parse(TraitFile, tables, where=f"'{path}'")
