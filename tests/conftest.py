"""What holds for every test: no network, and the same examples on every machine."""

from __future__ import annotations

import os

from hypothesis import settings

# Set before transformers is imported anywhere: a test that would ask a hub fails at once instead.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A busy machine is no reason to fail, and a failure must come again when it is looked at.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
