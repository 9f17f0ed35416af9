"""A verification or a decision as GitHub-flavoured Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import chain_words as words
from undertow.report.markdown import code, escaped, markdown_table
from undertow.report.tables import facts_table
from undertow.results.provenance import GateDocument, VerifyDocument


def render_chain_markdown(document: VerifyDocument | GateDocument) -> str:
    """The document as Markdown in which no text from the data can act as markup."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: VerifyDocument | GateDocument) -> Iterator[str]:
    checked = words.checked(document)
    verb = "gate" if isinstance(document, GateDocument) else "verify"
    yield f"# undertow {verb}: {words.verdict(document)}"
    yield f"**{escaped(words.found(document))}**"
    yield f"Data: {code(checked.data)}, student: {code(checked.student or 'none')}."
    if isinstance(document, GateDocument):
        yield f"## {escaped(document.policy_title)}"
        yield markdown_table(words.rules_table(document))
        if document.warnings:
            yield "\n".join(f"- {escaped(warning)}" for warning in document.warnings)
    yield "## Answers"
    yield "\n".join(
        f"- **{question}** {escaped(answer)}{f' ({escaped(remark)})' if remark else ''}"
        for question, answer, remark in words.answers(checked.facts)
    )
    if checked.problems:
        yield "## What does not hold"
        yield markdown_table(words.problems_table(checked))
    if checked.links:
        yield "## The chain"
        yield markdown_table(words.links_table(checked))
    if checked.facts.teachers:
        yield markdown_table(
            words.teachers_table(checked.facts), "Models that wrote or judged rows"
        )
    if checked.facts.audits:
        yield markdown_table(words.audits_table(checked.facts), "Audits")
    yield "## What this does not show"
    yield "\n".join(f"- {escaped(limit)}" for limit in words.LIMITS)
    yield "## How to check it again"
    yield code(document.command)
    yield markdown_table(facts_table("Check", words.check_facts(checked)))
