"""Countermeasures on a training: penalties, projected and certified steps."""
