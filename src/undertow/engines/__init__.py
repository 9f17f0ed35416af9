"""Engines: how work is spread over runs; the same picklable callable serves all of them."""
