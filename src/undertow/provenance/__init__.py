"""Who made a dataset or a model, out of what, and who says so: digests, signed statements, and the walk along them."""
