"""
What each step that makes a model passes on: the initialisation it goes back to, and who wrote its training data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from undertow.provenance.chain import MODEL_STEPS, with_role
from undertow.provenance.found import ModelOrigin
from undertow.provenance.signers import Accepted

if TYPE_CHECKING:
    from undertow.provenance.chain import Chain


def model_found(chain: Chain, digest: str, name: str, *, quiet: bool) -> ModelOrigin:
    """What all accepted statements about a model say together: where they differ, both count."""
    found: ModelOrigin | None = None
    for one in chain.steps(digest, MODEL_STEPS):
        made = (
            _trained(chain, one, digest)
            if one.attestation.step == "finetune"
            else _remade(chain, one, digest)
        )
        found = made if found is None else found.joined(made)
    if found is None:
        if not quiet:
            chain.missing(digest, name, "model")
        return ModelOrigin()
    return found


def _trained(chain: Chain, one: Accepted, digest: str) -> ModelOrigin:
    inits, data = with_role(one, "init-weights"), with_role(one, "train-data")
    chain.link(one, digest, {"data": ", ".join(each.name for each in data) or "none named"})
    base = _bases(chain, one, [(each.sha256, each.name) for each in inits])
    if not data:
        chain.block("inconsistent", _said(one), "a fine-tune names no training data")
        return replace(base, complete=False)
    for each in data:
        found = chain.data(each.sha256, each.name)
        base = replace(
            base,
            complete=base.complete and found.complete and found.whole,
            writers=(*base.writers, *chain.upstream(found)),
        )
    return base


def _remade(chain: Chain, one: Accepted, digest: str) -> ModelOrigin:
    inputs = with_role(one, "input-weights")
    chain.link(one, digest, {"of": ", ".join(each.name for each in inputs) or "none named"})
    return _bases(chain, one, [(each.sha256, each.name) for each in inputs])


def _bases(chain: Chain, one: Accepted, named: list[tuple[str | None, str]]) -> ModelOrigin:
    if not named:
        chain.block("inconsistent", _said(one), "the step names no weights that it began from")
        return ModelOrigin()
    found = [chain.model(digest, name) for digest, name in named]
    joined = found[0]
    for each in found[1:]:
        joined = joined.joined(each)
    return joined


def _said(one: Accepted) -> str:
    attestation = one.attestation
    return f"{attestation.step} of '{attestation.statement.subject[0].name}' ({attestation.where})"
