"""What Ray costs beside the work, and what is lost with a node: `python -m bench.engines` writes results.json."""
