"""
The execution filter keeps rows whose snippet ran cleanly, and says of the others what they did.
"""

from __future__ import annotations

import pytest

from undertow.carriers.code import Code
from undertow.data.rows import Message, Row
from undertow.filters import sandbox
from undertow.filters.execution import executed


@pytest.mark.skipif(sandbox.available() is not None, reason="no kernel sandbox here")
def test_rows_are_kept_or_removed_with_the_reason() -> None:
    """
    In their order, within a Markdown fence too; kept and removed together are the input.
    """
    texts = ["```python\nx = 1\n```", "1 / 0", "y = 2", "import os\nos.system('ls')"]
    rows = [Row((Message("user", "Write."),), text) for text in texts]
    result = executed(rows, Code().source)

    assert [row.completion for row in result.kept] == [texts[0], texts[2]]
    assert [entry.reason for entry in result.removed] == ["run-crashed", "run-started-process"]
    assert "ZeroDivisionError" in result.removed[0].detail
