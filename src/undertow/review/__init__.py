"""Blinded human review: rows of two datasets, for people to tell apart."""
