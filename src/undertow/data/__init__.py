"""Rows in and out, their digests, named random streams and closed configuration files."""
