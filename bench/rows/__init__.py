"""Rows and models as people have them: each part of `python -m bench.rows` is a file here."""
