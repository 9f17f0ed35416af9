"""Thin adapters to other people's pipelines; each imports its library when it is used."""

from undertow.integrations.certified_steps import CertifiedSteps
from undertow.integrations.countermeasure import Countermeasure
from undertow.integrations.trait_probe import TraitProbe

__all__ = ["CertifiedSteps", "Countermeasure", "TraitProbe"]
