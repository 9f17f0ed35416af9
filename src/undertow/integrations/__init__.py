"""Thin adapters to other people's pipelines; each imports its library when it is used."""

from undertow.integrations.trainer_callbacks import CertifiedSteps, Countermeasure, TraitProbe

__all__ = ["CertifiedSteps", "Countermeasure", "TraitProbe"]
