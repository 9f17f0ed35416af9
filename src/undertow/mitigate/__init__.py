"""Countermeasures: what keeps a training from moving what nobody asked to move."""
