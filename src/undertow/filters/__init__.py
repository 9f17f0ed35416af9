"""Filters: what removes rows and says why; nothing is removed without an entry in the ledger."""
