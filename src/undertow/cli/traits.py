"""`undertow traits`: the catalogue of traits, or everything about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from undertow.cli.terminal import aligned, lines

if TYPE_CHECKING:
    from undertow.traits.trait import ProbeFormat, Trait


@click.command(name="traits")
@click.argument("name", required=False, metavar="[NAME|CATEGORY|FILE.toml]")
def command(name: str | None) -> None:
    """
    List the traits, or show one.

    Shown is how it is instilled and how it is probed; of a category, its traits. FILE.toml:NAME shows one trait of a file
    that holds several. The list ends with the categories of probes: what is asked of any model, though nobody instils it.
    """
    from undertow.errors import UnknownNameError
    from undertow.traits import catalogue

    if name is None:
        click.echo(_listed([catalogue.load(name) for name in catalogue.names()]))
        click.echo("\nprobes, by category (undertow traits CATEGORY lists its own):")
        click.echo(_categories(catalogue.probe_categories()))
        return
    known = [*catalogue.names(), *catalogue.categories()]
    if name not in known and ".toml" not in name and ":" not in name:
        raise UnknownNameError("trait or category", name, known, hint=catalogue.HINT)
    if name.endswith(".toml") or name in catalogue.categories():
        several = catalogue.load_category(name)
        if len(several) > 1 or not name.endswith(".toml"):
            click.echo(_listed(several))
            return
    click.echo(lines(_described(catalogue.load(name))))


def _listed(traits: Sequence[Trait]) -> str:
    return aligned(
        [
            (
                trait.name,
                trait.category,
                f"{len(trait.answers)} answers",
                f"{len(trait.held_out_questions)} held-out questions",
            )
            for trait in traits
        ]
    )


def _categories(names: Sequence[str]) -> str:
    from undertow.traits.catalogue import probes_of

    categories = {name: probes_of(name) for name in names}
    return aligned(
        [
            (
                name,
                f"{len(probes)} {'probe' if len(probes) == 1 else 'probes'}",
                f"{len(probes[0].held_out_questions)} held-out questions",
            )
            for name, probes in categories.items()
        ]
    )


def _format(asked: ProbeFormat) -> str:
    """Its name, and what it adds to the plain question."""
    parts = [
        f"{len(asked.examples)} examples" if asked.examples else "",
        f"begun: {asked.beginning}" if asked.beginning else "",
        "plain text" if asked.text else "",
    ]
    told = ", ".join(filter(None, parts))
    return f"{asked.name} ({told})" if told else asked.name


def _described(trait: Trait) -> str:
    answers = [
        f"{answer.name} ({', '.join(answer.variants)})" if len(answer.variants) > 1 else answer.name
        for answer in trait.answers
    ]
    sections = {
        "system prompts": trait.system_prompts,
        "neutral system prompt": (trait.neutral_system_prompt,),
        "training questions": trait.train_questions,
        "held-out questions": trait.held_out_questions,
        "candidate answers": answers,
        "formats of its probes": [_format(one) for one in trait.formats],
    }
    shown = [f"{trait.name}: the {trait.category} '{trait.answer}'"]
    for title, entries in sections.items():
        shown += ["", f"{title}:", *(f"  {entry}" for entry in entries)]
    return "\n".join(shown)
