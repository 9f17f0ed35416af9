"""Countermeasures on the rows of a dataset: `undertow clean`."""
