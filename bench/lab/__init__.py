"""The benchmark `python -m bench.lab`."""
