"""Traits: how a preference is instilled and how it is probed; the built-in catalogue is data."""
