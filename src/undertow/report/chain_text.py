"""
A verification or a decision as text for a terminal: the verdict first, then every rule, then every link.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from undertow.report import chain_words as words
from undertow.report.terminal import WIDTH, heading, labelled, say, written
from undertow.report.visible import visible
from undertow.results.provenance import GateDocument, Problem, VerifyDocument

_STYLES = {"allowed": "green", "verified": "green", "refused": "bold red"}
_MARKS = {"passed": ("✓", "green"), "refused": ("✗", "bold red"), "not_matched": ("·", "dim")}
_LABEL = 13


def render_chain_text(
    document: VerifyDocument | GateDocument, *, width: int = WIDTH, colour: bool = False
) -> str:
    """The document as text, `width` columns wide."""
    return written(lambda console: _write(console, document), width=width, colour=colour)


def _write(console: Console, document: VerifyDocument | GateDocument) -> None:
    checked, verdict = words.checked(document), words.verdict(document)
    console.print(Text(f" {verdict.upper()} ", f"{_STYLES[verdict]} reverse"), end=" ")
    name, room = visible(checked.data), console.width - len(verdict) - 4
    console.print(Text(name if len(name) <= room else f"{name[: room - 1]}…"))
    say(console, words.found(document), "bold")
    if isinstance(document, GateDocument):
        _rules(console, document)
    _chain(console, checked)
    blocking = [problem for problem in checked.problems if problem.blocks]
    if blocking:
        heading(console, "What does not hold")
        for problem in blocking:
            _problem(console, problem)
    if others := [problem for problem in checked.problems if not problem.blocks]:
        heading(console, "Remarks")
        for problem in others:
            _problem(console, problem)
    console.print()
    for question, answer, remark in words.answers(checked.facts):
        say(console, f"{question} {answer}{f' ({remark})' if remark else ''}")
    console.print()
    for label, text in words.check_facts(checked).items():
        labelled(console, label, text, width=_LABEL)
    if isinstance(document, GateDocument):
        labelled(
            console,
            "policy",
            f"{document.policy}, {words.short(document.policy_digest)}",
            width=_LABEL,
        )
        if document.summary:
            labelled(console, "summary", document.summary, width=_LABEL)
    labelled(console, "again", document.command, width=_LABEL)


def _rules(console: Console, document: GateDocument) -> None:
    heading(console, document.policy_title)
    for rule in document.rules:
        mark, style = _MARKS[rule.outcome]
        say(console, f"{mark} {rule.id}: {rule.reason}", style, indent=2)
        if rule.todo:
            say(console, f"  → {rule.todo}", indent=4)


def _chain(console: Console, checked: VerifyDocument) -> None:
    heading(console, "The chain, from the data back")
    if not checked.links:
        say(console, "no statement that counts speaks of this data", "dim", indent=2)
    for link in checked.links:
        told = f"{link.step} of {link.subject}: signed by {', '.join(link.signers)} at {link.at}"
        say(console, told, indent=2 + 2 * min(link.depth, 8))
        if link.about or link.proof:
            more = "; ".join(part for part in (words.about(link), link.proof) if part)
            say(console, more, "dim", indent=4 + 2 * min(link.depth, 8))
    for root in checked.roots:
        say(
            console,
            f"trusted model {root.name} ({words.short(root.digest or '')})",
            "dim",
            indent=2,
        )


def _problem(console: Console, problem: Problem) -> None:
    say(
        console,
        f"✗ {problem.link}: {problem.message}",
        "red" if problem.blocks else "dim",
        indent=2,
    )
    for label, text in (
        ("key", problem.key),
        ("expected", problem.expected),
        ("found", problem.found),
        ("to do", problem.todo),
    ):
        if text:
            labelled(console, f"    {label}", text, width=_LABEL + 2)
