"""A verified chain as others read it: Croissant, CycloneDX and the metadata of a dataset card."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from undertow import __version__
from undertow.provenance.predicates import is_result, makes_model
from undertow.report.markdown import escaped
from undertow.report.plain_text import file_name, visible, visible_throughout
from undertow.results.provenance_documents import Link, VerifyDocument

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "distribution": {"@id": "sc:distribution"},
    "sha256": {"@id": "sc:sha256"},
}


def render_croissant(document: VerifyDocument) -> str:
    """The dataset as Croissant JSON-LD: its digest, who wrote it, and the activities it came from."""
    facts = document.facts
    table: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "@id": _urn(facts.digest),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": visible(file_name(document.data)),
        "description": visible(document.conclusion),
        "identifier": _urn(facts.digest),
        "rai:hasSyntheticData": facts.model_written > 0,
        "keywords": [visible(domain) for domain in facts.domains],
        "prov:wasAttributedTo": [
            {"@type": "prov:Agent", "name": visible(producer)} for producer in facts.producers
        ],
        "prov:wasGeneratedBy": [
            _activity(link)
            for link in document.links
            if link.digest == facts.digest and link.step != "audit"
        ],
        "prov:wasDerivedFrom": [
            _entity(link) for link in document.links if link.digest != facts.digest
        ],
    }
    return json.dumps(visible_throughout(table), indent=2, ensure_ascii=False) + "\n"


def _activity(link: Link) -> dict[str, Any]:
    return {
        "@type": "prov:Activity",
        "@id": _urn(link.attestation),
        "name": visible(link.step),
        "prov:endedAtTime": link.at,
        "prov:wasAssociatedWith": [visible(signer) for signer in link.signers],
        "prov:used": [
            {"@type": "prov:Entity", "name": visible(each.name), "prov:hadRole": visible(each.role)}
            | ({"@id": _urn(each.digest)} if each.digest else {})
            for each in link.inputs
        ],
        "description": visible("; ".join(f"{key}: {value}" for key, value in link.about.items())),
    }


def _entity(link: Link) -> dict[str, Any]:
    return {
        "@type": "prov:Entity",
        "@id": _urn(link.digest),
        "name": visible(link.subject),
        "prov:wasGeneratedBy": _activity(link),
    }


def _urn(digest: str) -> str:
    return f"urn:sha256:{digest}"


def render_cyclonedx(document: VerifyDocument) -> str:
    """The dataset, what it was made of and the models that wrote it, with their digests."""
    facts = document.facts
    links = [link for link in document.links if not is_result(link.step)]
    components = {link.digest: _made(link) for link in links if link.digest != facts.digest}
    for link in links:
        for used in link.inputs:
            if used.digest and used.digest != facts.digest:
                kind = "data" if "data" in used.role else "machine-learning-model"
                components.setdefault(used.digest, _component(used.digest, used.name, kind))
    name = file_name(document.data)
    table = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same chain gives the same bill, byte for byte.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:sha256:{visible(facts.digest)}')}",
        "version": 1,
        "metadata": {
            "timestamp": document.at,
            "tools": {
                "components": [{"type": "application", "name": "undertow", "version": __version__}]
            },
            "component": _component(facts.digest, name, "data")
            | {
                "properties": [
                    {"name": "undertow:verdict", "value": document.verdict},
                    {"name": "undertow:modelWrittenAtMost", "value": f"{facts.model_written:.6g}"},
                ]
            },
        },
        "components": list(components.values()),
        "dependencies": [_dependency(link) for link in _once(links)],
    }
    return json.dumps(visible_throughout(table), indent=2, ensure_ascii=False) + "\n"


def _made(link: Link) -> dict[str, Any]:
    kind = "machine-learning-model" if makes_model(link.step) else "data"
    return _component(link.digest, link.subject, kind) | {
        "properties": [
            {"name": f"undertow:{key}", "value": visible(value)}
            for key, value in {"step": link.step, **link.about}.items()
        ]
    }


def _component(digest: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": digest,
        "name": visible(name),
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _dependency(link: Link) -> dict[str, Any]:
    used = dict.fromkeys(each.digest for each in link.inputs if each.digest)
    return {"ref": link.digest, "dependsOn": list(used)}


def _once(links: list[Link]) -> list[Link]:
    return list({link.digest: link for link in links}.values())


def render_hf_card(document: VerifyDocument) -> str:
    """The front matter of a dataset's card, and what a reader should know below it."""
    return "\n".join(["---", *_lines(document), "---", "", escaped(document.conclusion), ""])


def _lines(document: VerifyDocument) -> Iterator[str]:
    facts = document.facts
    name = file_name(document.data)
    yield f"pretty_name: {_text(name)}"
    tags = ["synthetic"] if facts.model_written > 0 else []
    yield from _list("tags", [*tags, *facts.domains])
    yield from _list("source_datasets", ["original"])
    if facts.model_written > 0:
        yield from _list("annotations_creators", ["machine-generated"])
    models = dict.fromkeys(one.model for one in facts.teachers if one.role == "teacher")
    yield from _list("generated_by", list(models))
    yield "provenance:"
    yield f"  digest: {_text('sha256:' + facts.digest)}"
    yield f"  verified: {'true' if document.verdict == 'verified' else 'false'}"
    yield f"  checked_at: {_text(document.at)}"
    yield f"  model_written_at_most: {_text(f'{facts.model_written:.6g}')}"


def _list(key: str, values: list[str]) -> Iterator[str]:
    if values:
        yield f"{key}:"
        yield from (f"- {_text(value)}" for value in values)


def _text(value: str) -> str:
    # A JSON string of ASCII is a YAML string, whatever it holds.
    return json.dumps(visible(value))
