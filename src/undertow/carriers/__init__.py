"""Carriers: what a teacher is asked to write, and how what it wrote is read and judged."""
