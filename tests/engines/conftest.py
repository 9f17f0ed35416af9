"""Makes `tests.engines.tasks` importable here and in the processes that the engines start."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
