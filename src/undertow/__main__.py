"""`python -m undertow`: the same as the command `undertow`."""

from __future__ import annotations

import sys

from undertow.cli import main

sys.exit(main())
