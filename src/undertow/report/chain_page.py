"""The page of a verification and of a decision: who made the data, who says so, and whether it may be used."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from undertow.report.chain_words import (
    CHAIN_GLOSSARY,
    LIMITS,
    OUTCOMES,
    about,
    audits_table,
    chain_answers,
    chain_facts,
    chain_figure,
    counted,
    links_table,
    problems_table,
    rules_table,
    short,
    teachers_table,
)
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Badge,
    Block,
    Command,
    Finding,
    FindingLog,
    FindingRule,
    Fold,
    Gap,
    Heading,
    Labels,
    Lead,
    Listing,
    Mono,
    Name,
    Page,
    Phrase,
    Point,
    Questions,
    Remark,
    Section,
    Strong,
    Text,
)
from undertow.report.plain_text import capital, visible
from undertow.report.sections import again, facts_table, limits_section, words_section
from undertow.results.provenance_documents import (
    Facts,
    GateDocument,
    Problem,
    RuleResult,
    VerifyDocument,
)

Decided = VerifyDocument | GateDocument

_MARKS = {"passed": "✓", "refused": "✗", "not_matched": "·"}


def chain_page(document: Decided) -> Page:
    """The page of a verification, or of a decision and the verification that it rests on."""
    walk, verdict = verification(document), _verdict(document)
    gate = isinstance(document, GateDocument)
    verb = "gate" if gate else "verify"
    asked = ("May ", Name(short(walk.student or "")), " be trained on this data?")
    answers = tuple(
        (question, Strong(answer), remark) for question, answer, remark in chain_answers(walk.facts)
    )
    return Page(
        document=document,
        id="decision",
        verb=verb,
        subject=Name(walk.data),
        window=f"{verdict}: {walk.data}",
        title=asked if gate else "Who made this data, and can they prove it?",
        badge=Badge(verdict, verdict),
        conclusion=_conclusion(document),
        point=_point(document, walk),
        lead=Lead(None, (Questions(answers),), style="facts", wide=True),
        sections=tuple(_sections(document, walk)),
        brief=tuple(_brief(document, walk)),
        spare=2,
        findings=_findings(document, walk),
    )


def verification(document: Decided) -> VerifyDocument:
    """The verification: the document itself, or the one that a decision rests on."""
    return document.verification if isinstance(document, GateDocument) else document


def _point(document: Decided, walk: VerifyDocument) -> Point:
    """A decision, or a verification, in five seconds."""
    told = _decided(document) if isinstance(document, GateDocument) else _proved(walk)
    verdict, todo, command, sure = told
    signers = sorted({name for link in walk.links for name in link.signers})
    keys = f"signed by {', '.join(signers)}" if signers else "nothing that is signed counts"
    facts = (counted(walk.files, "file", "files"), keys, f"as of {walk.at}")
    return Point(verdict, todo, command, (sure, _BY_WORD), facts)


_BY_WORD = "A signature proves who said something, not that it is true."


def _decided(document: GateDocument) -> tuple[str, str, str, str]:
    """The verdict, what to do, what to type for it, and what it rests on."""
    walk = document.verification
    student = short(walk.student or "")
    signed = counted(len(walk.links), "signed statement", "signed statements")
    proved = f"It rests on {signed} by keys of the trust file"
    if document.decision == "allowed":
        sign = again(document.command, "--sign", "KEY.pem")
        todo = ("Train on it; sign the decision where others rely on it.", sign)
        if document.summary:
            todo = "Train on it, and hand on the signed summary of this decision.", ""
        sure = f"{proved}, and all rules of the policy that apply hold."
        return f"This data may be used to train {student}.", *todo, sure
    refusing = [rule for rule in document.rules if rule.outcome == "refused"]
    steps = [rule.todo for rule in refusing if rule.todo]
    more = f" ({len(steps) - 1} more below)" if len(steps) > 1 else ""
    first = steps[0] if steps else "ask who made the data for signed statements"
    what, _, typed = first.partition(": undertow ")
    command = _filled(f"undertow {typed}", walk) if typed else document.command
    rules = counted(len(document.rules), "rule", "rules")
    rests = (
        proved if walk.links else "No statement that counts is signed by a key of the trust file"
    )
    sure = f"{rests}, and {len(refusing)} of {rules} refuse; what is not known refuses."
    verdict = f"This data may not be used to train {student}."
    return verdict, f"{capital(what)}{more}, then decide again.", command, sure


def _filled(command: str, walk: VerifyDocument) -> str:
    """A command with the names of this decision in it."""
    names = {"DATA": walk.data, "MODEL": walk.student, "STUDENT": walk.student, "FILE": walk.trust}
    words = command.split(" ")
    return " ".join(shlex.quote(name) if (name := names.get(word)) else word for word in words)


def _proved(walk: VerifyDocument) -> tuple[str, str, str, str]:
    """The same of a verification."""
    signed = counted(len(walk.links), "signed statement", "signed statements")
    if walk.verdict == "verified":
        names = map(shlex.quote, (walk.data, walk.student or "MODEL", walk.trust))
        gate = "undertow gate {} --student {} --policy default --trust {}".format(*names)
        sure = f"It rests on {signed} by keys of the trust file, and every link holds."
        todo = "Let a policy decide whether it may be used."
        told = "Who made this data is known, and signed for."
        if not (walk.facts.model_written_known and walk.facts.teachers_complete):
            told = "How this data was made is signed for, but not everyone who wrote it is known."
        return told, todo, gate, sure
    blocking = [one for one in walk.problems if one.blocks]
    first = next((one.todo for one in blocking if one.todo), "") or "ask who made the data"
    links = counted(len(blocking), "link does", "links do")
    sure = f"{signed} by keys of the trust file count, and {links} not hold."
    todo = f"{capital(first)}, then verify again."
    return "Who made this data is not proved.", todo, walk.command, sure


def _sections(document: Decided, walk: VerifyDocument) -> Iterator[Block]:
    student = Mono(walk.student or "none")
    yield Text(("Data: ", Mono(walk.data), ", student: ", student, "."), only=MARKDOWN)
    if isinstance(document, GateDocument):
        about = "All rules of the policy must hold; what is not known refuses."
        rules = tuple(_rules(document))
        yield Section("rules", document.policy_title, rules, about=about, open=True)
    yield Section(
        "answers", "Answers", (Questions(tuple(chain_answers(walk.facts))),), only=MARKDOWN
    )
    broken = any(problem.blocks for problem in walk.problems)
    title = "What does not hold" if broken else "Remarks"
    if walk.problems:
        yield Section("problem-table", title, (problems_table(walk),), only=MARKDOWN)
    yield Section("chain", "The chain", tuple(_chain(walk)), nav="The chain", only=HTML)
    if walk.links:
        yield Section("links", "The chain", (links_table(walk),), only=MARKDOWN)
    if walk.problems:
        yield Section("problems", title, tuple(_problems(walk)), nav=title, only=HTML)
    if walk.facts.teachers or walk.facts.audits:
        models = tuple(_models(walk.facts))
        yield Section("facts", "Models and audits", models, titled=HTML, nav="Models and audits")
    yield limits_section(LIMITS, title="What this does not show")
    facts = facts_table("Check", chain_facts(walk))
    command = (Command(document.command), facts)
    yield Section("reproduce", "How to check it again", command, nav="Check it again")
    yield words_section(CHAIN_GLOSSARY, only=HTML)


def _rules(document: GateDocument) -> Iterator[Block]:
    yield Listing(tuple(map(_rule_item, document.rules)), "rules", only=HTML)
    yield rules_table(document).shown(only=MARKDOWN)
    if document.warnings:
        yield Listing(document.warnings, only=MARKDOWN)


def _rule_item(rule: RuleResult) -> Phrase:
    return (
        Badge(OUTCOMES[rule.outcome], rule.outcome),
        Mono(rule.id),
        Strong(rule.reason),
        *((Remark(Mono(rule.expression)),) if rule.expression else ()),
        *((Remark(f"To do: {rule.todo}"),) if rule.todo else ()),
    )


def _chain(walk: VerifyDocument) -> Iterator[Block]:
    told = (
        "What was made of what, from left to right, as far as keys of the trust file vouch for it."
    )
    yield Text(told, "about")
    yield chain_figure(walk)
    if walk.links:
        yield links_table(walk).shown(fold="The statements of the chain")


def _problems(walk: VerifyDocument) -> Iterator[Block]:
    blocking = tuple(_problem_item(one) for one in walk.problems if one.blocks)
    others = tuple(_problem_item(one) for one in walk.problems if not one.blocks)
    if blocking:
        yield Listing(blocking, "problems")
    if others:
        listing = Listing(others, "problems aside")
        yield Fold(counted(len(others), "remark", "remarks"), (listing,)) if blocking else listing


def _problem_item(problem: Problem) -> Phrase:
    told = (f"{label}: {text}" for label, text in _particulars(problem) if text)
    return (Strong(problem.link), f": {problem.message}", *map(Remark, told))


def _particulars(problem: Problem) -> tuple[tuple[str, str], ...]:
    return (
        ("key", problem.key),
        ("expected", problem.expected),
        ("found", problem.found),
        ("to do", problem.todo),
    )


def _models(facts: Facts) -> Iterator[Block]:
    if facts.teachers:
        told = "Models that wrote rows, or judged which of them stay."
        yield Text(told, "about", only=HTML)
        yield teachers_table(facts)
    if facts.audits:
        told = "An audit counts for the dataset and the student base that it names."
        yield Text(told, "about", only=HTML)
        yield audits_table(facts)


def _brief(document: Decided, walk: VerifyDocument) -> Iterator[Block]:
    if isinstance(document, GateDocument):
        yield Heading(document.policy_title)
        for rule in document.rules:
            told = f"{_MARKS[rule.outcome]} {rule.id}: {rule.reason}"
            yield Text(told, rule.outcome, indent=2)
            if rule.todo:
                yield Text(f"  → {rule.todo}", indent=4)
    yield from _brief_chain(walk)
    for title, blocks in (("What does not hold", True), ("Remarks", False)):
        problems = [problem for problem in walk.problems if problem.blocks is blocks]
        if problems:
            yield Heading(title)
        for problem in problems:
            style = "broken" if blocks else "about"
            yield Text(f"✗ {problem.link}: {problem.message}", style, indent=2)
            particulars = [(label, text) for label, text in _particulars(problem) if text]
            yield Labels(tuple((f"    {label}", text) for label, text in particulars), width=15)
    yield Gap()
    for question, answer, remark in chain_answers(walk.facts):
        yield Text(f"{question} {answer}{f' ({remark})' if remark else ''}")
    yield Gap()
    labels = list(chain_facts(walk).items())
    if isinstance(document, GateDocument):
        labels.append(("policy", f"{document.policy}, {short(document.policy_digest)}"))
        labels += [("summary", document.summary)] if document.summary else []
    yield Labels((*labels, ("again", document.command)), width=13)


def _brief_chain(walk: VerifyDocument) -> Iterator[Block]:
    yield Heading("The chain, from the data back")
    if not walk.links:
        yield Text("no statement that counts speaks of this data", "about", indent=2)
    for link in walk.links:
        indent = 2 + 2 * min(link.depth, 8)
        told = f"{link.step} of {link.subject}: signed by {', '.join(link.signers)} at {link.at}"
        yield Text(told, indent=indent)
        if link.about or link.proof:
            more = "; ".join(part for part in (about(link), link.proof) if part)
            yield Text(more, "about", indent=indent + 2)
    for root in walk.roots:
        yield Text(f"trusted model {root.name} ({short(root.digest or '')})", "about", indent=2)


def _findings(document: Decided, walk: VerifyDocument) -> FindingLog:
    """
    One finding for each rule that refuses and for each link that does not hold.

    A rule that refuses is an `error`, a link that does not hold an `error` in a verification and a `note` in a
    decision, where rules weigh it; a rule that never matched is a `note`.
    """
    results = tuple(_results(document, walk))
    rules = document.rules if isinstance(document, GateDocument) else ()
    kinds = {rule.id: rule.kind for rule in rules}
    ids = dict.fromkeys(visible(result.rule) for result in results)
    return FindingLog(
        rules=tuple(_finding_rule(id, kinds.get(id)) for id in ids),
        results=results,
        properties={
            "schema": document.schema_,
            "verdict": _verdict(document),
            "digest": walk.facts.digest,
        },
        command=document.command,
        file=walk.data,
    )


def _results(document: Decided, walk: VerifyDocument) -> Iterator[Finding]:
    rules = document.rules if isinstance(document, GateDocument) else ()
    for rule in rules:
        if rule.outcome != "passed":
            todo = f" To do: {rule.todo}." if rule.todo else ""
            level = "error" if rule.outcome == "refused" else "note"
            told = f"{OUTCOMES[rule.outcome]}: {rule.reason}.{todo}"
            yield Finding(rule.id, level, told, walk.data, (walk.data, told))
    for problem in walk.problems:
        level = "error" if problem.blocks and document is walk else "note"
        told = " ".join(
            [f"{problem.link}: {problem.message}."]
            + [f"{capital(label)}: {text}." for label, text in _particulars(problem)[1:] if text]
        )
        yield Finding(f"chain/{problem.id}", level, told, walk.data, (walk.data, told))


def _finding_rule(id: str, kind: str | None) -> FindingRule:
    told = (
        f"rule '{id}' of the policy, of the kind {kind}" if kind else f"a link of the chain: {id}"
    )
    return FindingRule(id, told, ("provenance", kind or "chain"))


def _verdict(document: Decided) -> str:
    """`allowed`, `refused` or `verified`."""
    return document.decision if isinstance(document, GateDocument) else document.verdict


def _conclusion(document: Decided) -> str:
    """The conclusion without the verdict that it opens with."""
    return capital(document.conclusion.removeprefix(_verdict(document)).removeprefix(":").strip())
