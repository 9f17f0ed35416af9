"""Checks of a tuned model against its base: what changed that nobody asked for?"""
