"""Models whose training is known, held against their base: `python -m bench.diff`."""
