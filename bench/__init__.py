"""Figures that anyone can make again: `python -m bench.NAME` writes bench/NAME/results.json."""
