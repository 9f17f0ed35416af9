"""
The traits that ship with undertow, its probes, and the traits of a user's own TOML file, found by name.

Probes are for traits that nobody named: preferences, values, conduct and persona. Each category is a file of
`traits/probes` in one of the formats of traits. Its answers are one probe each, all asked by the same questions, so
that a forward pass over the questions of a category measures all of its probes.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from undertow.errors import ConfigError, UnknownNameError
from undertow.traits.trait import Trait
from undertow.traits.trait_file import Topic, TopicFile, category_file

_CATEGORIES = {"animal": "animals.toml", "tree": "trees.toml", "conduct": "conduct.toml"}
_PROBES = "probes"
_HINT = "undertow traits"


def names() -> list[str]:
    """
    Names of all built-in traits, category by category; the probes are apart, in `probe_categories`.
    """
    return [name for category in _CATEGORIES for name in _built_in(category)]


def load(name_or_path: str) -> Trait:
    """
    A built-in trait (`owl`), a probe (`colour:red`), or a file's (`my.toml`, or `my.toml:heron` where it holds several).

    Raises:
        UnknownNameError: if no such trait is built in or in the file.
        ConfigError: if the file is malformed, or holds several traits and none is named.
    """
    path, name = _split(name_or_path)
    if path is None:
        built_in = {key: trait for kind in _CATEGORIES for key, trait in _built_in(kind).items()}
        if name.partition(":")[0] in probe_categories():
            return load_probe(name)
        if name not in built_in:
            raise UnknownNameError("trait", name, built_in, hint=_HINT)
        return built_in[name]
    traits = _read(path)
    if not name and len(traits) > 1:
        raise ConfigError(
            f"'{path}' holds {len(traits)} traits and none is named; allowed: {', '.join(traits)}",
            hint=f"name one, e.g. {path}:{next(iter(traits))}",
        )
    if name and name not in traits:
        raise UnknownNameError("trait", name, traits, where=f"'{path}'")
    return traits[name] if name else next(iter(traits.values()))


def load_category(name_or_path: str) -> tuple[Trait, ...]:
    """
    All traits of a built-in category (`animal`), of a category of probes (`colour`) or of a file (`my.toml`).

    Raises:
        UnknownNameError: if there is no such category.
        ConfigError: if the file is malformed.
    """
    if name_or_path.endswith(".toml"):
        return tuple(_read(name_or_path).values())
    if name_or_path in probe_categories():
        return probes_of(name_or_path)
    if name_or_path not in _CATEGORIES:
        allowed = [*_CATEGORIES, *probe_categories()]
        raise UnknownNameError("category", name_or_path, allowed, hint=_HINT)
    return tuple(_built_in(name_or_path).values())


def _split(name_or_path: str) -> tuple[str | None, str]:
    # `C:\my.toml` has a colon too, so the suffix decides where the path ends.
    if name_or_path.endswith(".toml"):
        return name_or_path, ""
    path, found, name = name_or_path.rpartition(".toml:")
    return (path + ".toml", name) if found else (None, name_or_path)


def topics(category: str) -> tuple[Topic, ...]:
    """The topics of a built-in category whose questions have answers of their own."""
    file = category_file(_resource(category))
    assert isinstance(file, TopicFile)
    return file.topics


def _read(path: str) -> dict[str, Trait]:
    return category_file(Path(path)).as_traits()


@functools.cache
def _built_in(category: str) -> dict[str, Trait]:
    return category_file(_resource(category)).as_traits()


def _resource(category: str) -> Traversable:
    return files("undertow.traits").joinpath("catalogue", _CATEGORIES[category])


@functools.cache
def probe_categories() -> tuple[str, ...]:
    """Names of the categories in alphabetical order, e.g. `colour`."""
    entries = files("undertow.traits").joinpath(_PROBES).iterdir()
    return tuple(sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml")))


@functools.cache
def probes_of(category: str) -> tuple[Trait, ...]:
    """
    The probes of a category, named `CATEGORY:ANSWER`, e.g. `colour:red`.

    Raises:
        UnknownNameError: there is no such category.
    """
    if category not in probe_categories():
        raise UnknownNameError("category", category, probe_categories(), hint=_HINT)
    path = files("undertow.traits").joinpath(_PROBES, f"{category}.toml")
    probes = category_file(path).as_traits()
    return tuple(replace(probe, name=f"{category}:{name}") for name, probe in probes.items())


def all_probes() -> tuple[Trait, ...]:
    """Every probe, category by category."""
    return tuple(probe for category in probe_categories() for probe in probes_of(category))


def load_probe(name: str) -> Trait:
    """
    One probe by its name, e.g. `colour:red`.

    Raises:
        UnknownNameError: there is no such category, or it has no such probe.
    """
    probes = {probe.name: probe for probe in probes_of(name.partition(":")[0])}
    if name not in probes:
        raise UnknownNameError("trait", name, probes, hint=_HINT)
    return probes[name]
