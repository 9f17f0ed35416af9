"""
By what undertow reads a document of each kind.

What a reader gives back is nothing; it raises an error of undertow where it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.reliability.honest_documents import review_keys
from undertow.errors import UndertowError


class DroppedError(AssertionError):
    """Something that was in a document is neither read nor told."""


def read_plan(path: Path) -> None:
    """A training plan, or a trainer's configuration."""
    from undertow.data.plan_files import load_plan

    load_plan(path)


def read_traits(path: Path) -> None:
    """A category of traits."""
    from undertow.traits.catalogue import load_category

    load_category(str(path))


def read_experiment(path: Path) -> None:
    """An experiment of the lab."""
    from undertow.studies.experiments import load_experiment

    load_experiment(str(path))


def read_draft(path: Path) -> None:
    """What a statement is made from."""
    from undertow.provenance.drafts import read_draft

    read_draft(path)


def read_policy(path: Path) -> None:
    """A policy, with its rules compiled."""
    from undertow.policy.gate import compiled_rules
    from undertow.policy.rules import load_policy

    compiled_rules(load_policy(str(path)))


def read_statement(path: Path) -> None:
    """A statement within its envelope."""
    from tests.provenance.scene import raw_line
    from undertow.provenance.bundle import read_line

    read_line(raw_line(path.read_bytes(), ["stranger"]), "x, line 1")


def read_bundle(path: Path) -> None:
    """Every line that is not blank is a statement, one that was there, or a problem."""
    from undertow.provenance.bundle import read_bundles

    read, problems = read_bundles([path])
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    if not read and len(problems) != len(lines):
        raise DroppedError(f"{len(lines)} lines, {len(problems)} problems and no statement")
    if len(read) + len(problems) > len(lines) or (lines and not read and not problems):
        raise DroppedError(f"{len(lines)} lines, {len(read)} statements, {len(problems)} problems")


def read_ledger(path: Path) -> None:
    """A ledger of leaves."""
    from undertow.provenance.ledger import read_leaf_ledger

    read_leaf_ledger(path)


def read_trust(path: Path) -> None:
    """A table of who is trusted."""
    from tests.provenance.scene import NOW
    from undertow.provenance.trust import read_trust

    read_trust(path, now=NOW)


def read_result(path: Path) -> None:
    """Read, and drawn in every format that the document has."""
    from undertow.report import render
    from undertow.results.store import read_result

    document = read_result(path)
    for form in ("html", "text", "markdown"):
        render(document, form)


def read_weights(path: Path) -> None:
    """By all that look at a file of safetensors."""
    from undertow.models.model_folder import header
    from undertow.provenance.model_weights import weights_digest

    _all_of(lambda: weights_digest(path.parent), lambda: list(header(path, "x")))


def read_gguf(path: Path) -> None:
    """The header of a GGUF."""
    from undertow.data.gguf_header import read_header

    read_header(path, "x")


def read_adapter(path: Path) -> None:
    """An adapter's configuration, beside its weights."""
    from undertow.models.saved_adapter import saved_adapter

    saved_adapter(path.parent, "org/base")


def read_index(path: Path) -> None:
    """The index of weights in several files."""
    from undertow.models.model_folder import shards

    shards(path.parent, "x")


def read_inspect(path: Path) -> None:
    """A log of Inspect."""
    from undertow.audit.eval_logs import read_log

    read_log(path)


def read_review_key(path: Path) -> None:
    """The key of a blind review."""
    from undertow.review.review_pack import read_key

    read_key(path)


def read_review_answers(path: Path) -> None:
    """A reader's answers to one."""
    from undertow.review.review_pack import ReviewKey, read_answers

    read_answers(path, ReviewKey.model_validate_json(review_keys()[0]))


def read_packed_rows(path: Path) -> None:
    """By all that read rows."""
    from undertow.data.file_sample import screen_file
    from undertow.data.part_leaves import dataset_root
    from undertow.data.records import read_rows

    _all_of(
        lambda: screen_file(path, max_rows=8, seed=0),
        lambda: list(read_rows(path)),
        lambda: dataset_root(path),
    )


def read_part(path: Path) -> None:
    """What a task of a pipeline leaves."""
    from undertow.integrations.pipeline_verdict import Tally

    Tally.read(path)


def read_scores(path: Path) -> None:
    """The scores of rows."""
    from undertow.mitigate.rows.removal import read_scores

    read_scores(path)


def read_problems(path: Path) -> None:
    """Problems of one's own."""
    from undertow.carriers.chain_of_thought import user_problems

    user_problems.__wrapped__(str(path))


def read_texts(path: Path) -> None:
    """Texts of one's own."""
    from undertow.carriers.paraphrase import own_texts

    own_texts.__wrapped__(str(path))


def read_family(path: Path) -> None:
    """A family of references."""
    from undertow.influence.reference_family import reference_family

    reference_family(path)


def _all_of(*reads: Callable[[], object]) -> None:
    """Each of them, whatever the others refuse; the last refusal is raised."""
    refused: UndertowError | None = None
    for read in reads:
        try:
            read()
        except UndertowError as error:
            refused = error
    if refused is not None:
        raise refused
