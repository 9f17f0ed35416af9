"""Checks of a pair of models: do they descend from one initialisation?"""
