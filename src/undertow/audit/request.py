"""What a scan is asked: the data, the student, the plan, and what else is known."""

from __future__ import annotations

from dataclasses import dataclass

from undertow.models.plan import TrainingPlan


@dataclass(frozen=True)
class ScanRequest:
    """One scan. References to models are as the user typed them."""

    data: str
    """A path, or `-` for standard input."""
    student: str
    teacher: str | None = None
    candidates: tuple[str, ...] = ()
    placebos: tuple[str, ...] = ()
    """Benign fine-tunes of the student that may have written the rows as well."""
    control: str | None = None
    traits: tuple[str, ...] = ()
    """Names or files; those of the calibration, or all that the student can be asked, if empty."""
    plan: TrainingPlan | None = None
    checks: tuple[str, ...] = ()
    """Ids; all of them if empty."""
    max_rows: int = 8192
    """Rows that model checks see, drawn uniformly."""
    system_prompt: str | None = None
    """Chat context of the probes; that of most rows if not given."""
    temperature: float = 1.0
    """At which the rows are said to have been sampled; a made control is drawn at it."""
    acceptance: float = 1.0
    """Share of the base's own answers that the rows' filter is said to keep."""
    beta: float = 0.1
    """Of DPO, for preference pairs."""
    limit: float = 0.2
    level: float = 0.95
    seed: int = 0
    command: str = ""
    """What reproduces it."""

    def configuration(self) -> dict[str, object]:
        """What is stored of it beside the named fields of the document."""
        return {
            "checks": list(self.checks),
            "max_rows": self.max_rows,
            "system_prompt": self.system_prompt,
            "temperature": self.temperature,
            "acceptance": self.acceptance,
            "beta": self.beta,
            "candidates": list(self.candidates),
            "placebos": list(self.placebos),
        }
