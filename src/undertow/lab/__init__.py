"""
The lab: teacher, carrier data, filter, student, evaluation; every control; resumable.

Everything heavy is imported by the functions that need it.
"""

from __future__ import annotations

from undertow.lab.experiment import Experiment, experiment_names, load_experiment
from undertow.lab.running import run_experiment

__all__ = ["Experiment", "experiment_names", "load_experiment", "run_experiment"]
