"""From paths to the document of a walk: the dataset on disk, its bundles, the trust file, the student."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from undertow.data.files import model_parts
from undertow.errors import InputError, ProvenanceError
from undertow.provenance.bundle import bundle_path, bundles_in, read_bundles
from undertow.provenance.chain import chain_of
from undertow.provenance.facts import facts_of
from undertow.provenance.ledger import AtHand
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.predicates import DATA_STEPS, Attestation
from undertow.provenance.statement import time_text
from undertow.provenance.trust import Trust
from undertow.provenance.walk import Walk
from undertow.results.provenance_documents import Facts, Link, Problem, VerifyDocument
from undertow.worlds import locate


@dataclass(frozen=True)
class VerifyRequest:
    """What is to be verified."""

    data: str | Path
    """As it was named."""
    student: str | None = None
    bundles: tuple[Path, ...] = ()
    """Further bundles, or folders of them; the one beside the dataset is read in any case."""
    command: str = ""


def verify(request: VerifyRequest, trust: Trust, now: datetime) -> VerifyDocument:
    """
    Walk the chain of a dataset and write down what is proved and what is not.

    Raises:
        DataError: the dataset cannot be read, or holds links or names that cannot be told apart.
        ProvenanceError: a bundle that was named cannot be read.
        ModelError: the student's weights have no digest that covers them.
    """
    paths, passed_over = _bundles(request)
    at_hand = AtHand(request.data, [path.parent for path in paths])
    attestations, problems = read_bundles(paths)
    walk = Walk(chain_of(attestations, trust, now), trust, at_hand, now)
    digest = at_hand.manifest.digest
    student = student_digest(request.student)
    data = walk.data(digest, at_hand.data.name)
    sound = _sound(walk, digest)
    if (other := _other_digest(at_hand, attestations)) is not None:
        walk.problems.insert(0, other)
    facts = facts_of(walk, digest, data, student=student, sound=sound)
    _explain_student(walk, request.student, student)
    walk.add(*problems, *passed_over)
    return VerifyDocument(
        verdict="verified" if facts.provenance_complete else "refused",
        conclusion=conclusion(facts, walk.problems),
        data=str(request.data),
        files=len(at_hand.manifest.entries),
        student=request.student,
        links=tuple(sorted(_once(walk.links), key=lambda link: link.depth)),
        roots=tuple(walk.roots.values()),
        problems=tuple(sorted(walk.problems, key=lambda problem: not problem.blocks)),
        facts=facts,
        trust=trust.path,
        trust_digest=trust.digest,
        trust_version=trust.file.version,
        attestations=tuple(map(str, paths)),
        at=time_text(now),
        command=request.command,
    )


def student_digest(student: str | None) -> str | None:
    """
    The digest of a student's weights; None where it is not here.

    Raises:
        ModelError: its folder holds weights that the digest would not cover.
        InputError: it is a path that does not exist.
    """
    if student is None:
        return None
    if len(student) == 64 and set(student) <= set("0123456789abcdef"):
        return student
    path = locate(student)
    if path.startswith((".", "/")) and not Path(model_parts(path)[0]).exists():
        raise InputError(
            f"no such model: '{student}'",
            hint="name a folder or a .gguf file, or the digest of its weights",
        )
    return weights_digest(path)


def conclusion(facts: Facts, problems: Sequence[Problem]) -> str:
    """What came of a walk, in a sentence or two."""
    blocking = [problem for problem in problems if problem.blocks]
    if facts.provenance_complete:
        return f"verified: every step is attested by trusted keys; {_writers(facts)}."
    if not blocking:
        return "refused: the chain is incomplete."
    first = blocking[0]
    more = f" ({len(blocking) - 1} more)" if len(blocking) > 1 else ""
    return f"refused: {first.link}: {first.message}{more}."


def _writers(facts: Facts) -> str:
    """Who wrote the rows, as far as it is signed."""
    names = ", ".join(dict.fromkeys(teacher.model for teacher in facts.teachers))
    share = f"at most {100 * facts.model_written:.3g} % of rows"
    if names:
        return f"written by {names}, {share} by models"
    if not facts.model_written_known:
        return "who wrote the rows is not known"
    if facts.model_written == 0:
        return "no row was written by a model"
    return f"{share} were written by models, which are not named"


def _bundles(request: VerifyRequest) -> tuple[list[Path], list[Problem]]:
    beside = bundle_path(request.data)
    bundles = [beside] if beside.is_file() else []
    passed_over: list[Problem] = []
    for path in request.bundles:
        if path.is_dir():
            found, others = bundles_in(path)
            bundles += found
            passed_over += others
        elif path.is_file():
            bundles.append(path)
        else:
            raise ProvenanceError(f"no such bundle: '{path}'")
    return list(dict.fromkeys(bundles)), passed_over


def _sound(walk: Walk, digest: str) -> bool:
    """Compare the rows on disk with what the statements about them say."""
    sound = True
    for statement in walk.chain.about(digest, DATA_STEPS):
        subjects = statement.attestation.statement.subject
        subject = next(part for part in subjects if part.digest["sha256"] == digest)
        stated: dict[str, str] = {
            name: subject.annotations[name]
            for name in ("rows", "rowMerkle", "rowSet")
            if name in subject.annotations
        }
        actual = walk.at_hand.rows_as(stated) if stated else {}
        for name, value in stated.items():
            if actual.get(name) != value:
                sound = False
                walk.add(
                    Problem(
                        id="rows",
                        link=f"dataset '{subject.name}'",
                        message=f"the statement's {name} is not that of the rows on disk",
                        expected=value,
                        found=actual.get(name, "no rows"),
                        todo="ask the producer for a corrected statement",
                    )
                )
    return sound


def _other_digest(at_hand: AtHand, attestations: Sequence[Attestation]) -> Problem | None:
    """Where nothing speaks of the dataset, what the bundle beside it speaks of instead."""
    digest, name = at_hand.manifest.digest, at_hand.data.name
    subjects = [
        subject
        for attestation in attestations
        if attestation.kind in DATA_STEPS
        for subject in attestation.statement.subject
    ]
    if any(subject.digest["sha256"] == digest for subject in subjects):
        return None
    for subject in subjects:
        if at_hand.manifest.named(subject.name).digest == subject.digest["sha256"]:
            target = at_hand.data.with_name(Path(subject.name).name)
            return Problem(
                id="renamed",
                link=f"dataset '{name}'",
                message="the same bytes are attested under another name, and names are bound",
                expected=subject.name,
                found=name,
                todo=shlex.join(["mv", str(at_hand.data), str(target)]),
            )
    named = next((subject for subject in subjects if subject.name == name), None)
    if named is None:
        return None
    return Problem(
        id="other-content",
        link=f"dataset '{name}'",
        message="the statement of this name speaks of other content: the data was changed, or cut off",
        expected=named.digest["sha256"],
        found=digest,
        todo="fetch the data again, or the statement of this version",
    )


def _explain_student(walk: Walk, student: str | None, digest: str | None) -> None:
    """Say why a student counts as related to every teacher, where that is because nothing is known of it."""
    if student is None:
        return
    if digest is None:
        message = (
            "its weights are not here, so it has no digest; every teacher counts as related to it"
        )
        todo = "name its folder, or the digest of its weights"
    elif not walk.model(digest, student, quiet=True).known:
        message = "its initialisation is not known; every teacher counts as related to it"
        todo = (
            f'list its base in \'{walk.trust.path}\': [[models]], name = "…", digest = "{digest}"'
        )
    else:
        return
    walk.add(
        Problem(
            id="student-unknown",
            link=f"student '{student}'",
            message=message,
            expected="a model whose initialisation the trust file or signed steps name",
            found=digest or "no digest",
            todo=todo,
            blocks=False,
        )
    )


def _once(links: Iterable[Link]) -> list[Link]:
    seen: dict[tuple[str, str], Link] = {}
    for link in links:
        seen.setdefault((link.attestation, link.digest), link)
    return list(seen.values())
