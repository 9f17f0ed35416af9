"""Lineage on models whose descent is known: `python -m bench.lineage`."""
