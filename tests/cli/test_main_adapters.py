"""An adapter that cannot be merged ends a verb that opens it in one line that names its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.rows.adapter_kinds import NOT_MERGED, save_adapter
from undertow.cli.terminal import Session
from undertow.cli.verbs import Verbs
from undertow.errors import ModelError
from undertow.worlds import locate

BASE = "world:owlet-b"


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base with an adapter of prompts, as `base+adapter`."""
    folder = tmp_path_factory.mktemp("kinds") / "prompts"
    return f"{BASE}+{save_adapter(NOT_MERGED['prompt tuning'], Path(locate(BASE)), folder)}"


@pytest.mark.parametrize(
    "words",
    [
        ["scan", "rows.jsonl", "--student", "MODEL"],
        ["diff", BASE, "MODEL"],
        ["lineage", BASE, "MODEL"],
    ],
    ids=lambda words: words[0],
)
def test_prompts_are_refused_by_name(
    words: list[str], prompts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the kind and the base as it was given, and a hint of kinds that can be given."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"prompt": "1, 2", "completion": "3"}\n' * 80)
    given = [prompts if word == "MODEL" else word for word in words]
    result = CliRunner().invoke(Verbs("undertow"), given, obj=Session())

    assert isinstance(result.exception, ModelError)
    assert (
        f"PROMPT_TUNING: it adds to what the model reads and changes no weight of '{BASE}'"
        in str(result.exception)
    )
    assert "LORA" in result.exception.hint
