"""Checks: what is asked of a dataset, of a tuned model, of a pair of models."""
