"""
What Inspect AI finds under the name `undertow`: tasks, a scorer, and models that run in this process.

Inspect imports this module by its entry point; it is the only one that declares anything to Inspect.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def _declared() -> tuple[Any, Any, Any, Any]:
    """Tasks, scorer and provider, made by Inspect's decorators."""
    from inspect_ai import task
    from inspect_ai.model import modelapi
    from inspect_ai.scorer import mean, scorer, stderr

    from undertow.integrations import inspect_tasks

    def provider() -> Any:
        from undertow.integrations.inspect_provider import in_process

        return in_process()

    return (
        task(name="preference")(inspect_tasks.preference),
        task(name="misalignment")(inspect_tasks.misalignment),
        scorer(metrics=[mean(), stderr()], name="picks")(inspect_tasks.picks),
        modelapi(name="undertow")(provider),
    )


# Without Inspect nothing asks for them, but tools that import every module still come by.
if find_spec("inspect_ai") is not None:
    preference, misalignment, picks, undertow = _declared()
