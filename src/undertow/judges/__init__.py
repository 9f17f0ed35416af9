"""Judges: they grade free answers, and their own error is measured."""
