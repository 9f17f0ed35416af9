"""
A verified chain as Croissant metadata with PROV: a view for others, unsigned, which nothing here trusts.

Source of the shape: MLCommons, "Croissant Format Specification", version 1.1; W3C, "PROV-O".
"""

from __future__ import annotations

import json
from typing import Any

from undertow.report.plain_text import file_name, visible
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
    """
    The dataset as Croissant JSON-LD: its digest, who wrote it, and the activities it came from.
    """
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
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


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
