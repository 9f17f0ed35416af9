"""Checks of a dataset before training on it. Each is a function from a subject to measurements."""
