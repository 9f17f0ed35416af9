"""Rows in and out, files, strict documents, plans, seeds, digests, and the one store of finished work."""
