"""
A verified chain as a CycloneDX bill of materials: a view for others, unsigned, which nothing here trusts.

Source of the shape: OWASP, "CycloneDX Specification", version 1.6.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from undertow import __version__
from undertow.provenance.predicates import is_result, makes_model
from undertow.report.plain_text import file_name, visible
from undertow.results.provenance_documents import Link, VerifyDocument


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
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:sha256:{facts.digest}')}",
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
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


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
