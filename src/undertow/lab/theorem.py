"""
The theorem experiment: one step of a student against one step of its teacher, measured.

Theorem 1 of Cloud et al. (2025): where teacher and student share an initialisation and each takes
one small gradient step, the student's step on any inputs does not oppose the teacher's, and lowers
the teacher's loss unless it is orthogonal. Measured here against an independent computation, next
to another initialisation and to what the theorem leaves out. All in float64.
"""

from __future__ import annotations

from undertow.engines.progress import Progress
from undertow.lab.theorem_curves import curves
from undertow.lab.theorem_design import TheoremConfig
from undertow.lab.theorem_document import LIMITS, comparisons, conclusion, notes
from undertow.lab.theorem_matrices import matrices
from undertow.lab.theorem_measurements import measure, parts

__all__ = ["TheoremConfig", "run"]


def run(config: TheoremConfig, progress: Progress, *, seed: int) -> dict[str, object]:
    """
    Every setting's measurements: the parts of a `RunDocument` that the experiment knows.

    Keys: `arms` (none), `comparisons`, `curves`, `matrices`, `notes`, `limits`, `conclusion`.
    """
    progress.stage("settings", len(config.settings) * parts(config))
    findings = [measure(name, config, seed, advance=progress.advance) for name in config.settings]
    progress.finish()
    return {
        "arms": (),
        "comparisons": comparisons(findings, config),
        "curves": curves(findings, config),
        "matrices": matrices(findings, config),
        "notes": notes(findings, config),
        "limits": LIMITS,
        "conclusion": conclusion(findings, config),
    }
