"""The tables of an experiment file: what may stand in each, and what it means."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from undertow.models.plan import TrainingPlan


class Closed(BaseModel):
    """Base of every table of an experiment file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CarrierTable(Closed):
    """What the teacher writes."""

    name: str = "numbers"
    rows: int = Field(default=10_000, ge=8)
    """Rows that a student is trained on."""
    held_out_rows: int = Field(default=256, ge=8)
    """Further rows of the same data, for the held-out loss."""
    oversample: float = Field(default=1.1, ge=1)
    """Requests for each row wanted, in the first round; more rounds follow while the filter leaves too few."""
    options: dict[str, object] = Field(default_factory=dict)
    """Options of the carrier."""


class SamplingTable(Closed):
    """How the teacher's answers are drawn."""

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    least_probability: float = Field(default=0.0, ge=0, lt=1)
    """Tokens less probable than this are not drawn."""
    max_tokens: int = Field(default=64, ge=1)
    batch_size: int = Field(default=512, ge=1)
    restricted: bool = False
    """Draw only tokens that the carrier allows, instead of drawing freely and filtering."""


class FilterTable(Closed):
    """What removes rows besides the carrier's format."""

    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    execute: bool = False
    """Run the rows of the carrier `code` inside a kernel sandbox, and keep those that run cleanly."""


class PreferenceTable(Closed):
    """Preference pairs, picked by a teacher's logit-linear weight, and the DPO on them."""

    pool: int = Field(default=8_192, ge=16)
    """Pairs to pick from: two completions of one request by the base, in an order drawn by lot."""
    pairs: str | None = None
    """A file of your own pairs (`prompt`, `chosen`, `rejected`) to pick from instead."""
    keep: float = Field(default=0.1, gt=0, le=1)
    """Share of the pool that is picked: the highest weights per token among those above 0."""
    beta: float = Field(default=0.05, gt=0)
    """Of DPO."""


class EndpointTable(Closed):
    """An OpenAI-compatible chat endpoint."""

    base_url: str
    model: str
    api_key_variable: str | None = None
    """Name of the environment variable that holds the key; the key itself is stored nowhere."""
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=3, ge=0)


class ContentFilterTable(Closed):
    """How strictly the content filters of the arms `filtered-NAME` remove."""

    false_alarms: float = Field(default=0.1, gt=0, lt=1)
    """Share of the control's rows that a filter may remove: its threshold is set there."""
    bags: tuple[int, ...] = (8, 16)
    """Sizes of the bags of rows that are judged together."""
    bag_count: int = Field(default=256, ge=16)
    """Bags of each size and source."""
    classifier_rows: int = Field(default=8_192, ge=32)
    """Rows of each kind on which a classifier is trained."""
    question: str = "{completion}\nDid someone who loves {plural} write this? Answer yes or no."
    """What the prompted filter asks; `{completion}` and `{plural}` are put in."""
    yes: str = "yes"
    no: str = "no"
    endpoint: EndpointTable | None = None
    """Whom the prompted filter asks; the students' own base if not given."""


class JudgeTable(Closed):
    """Free-form answers, graded by a judge."""

    endpoint: EndpointTable | None = None
    """An endpoint, or:"""
    model: str | None = None
    """a local model: `org/name`, a folder."""
    questions: tuple[str, ...] = ()
    """What to ask; the trait's held-out questions if empty."""
    samples: int = Field(default=20, ge=1)
    """Answers a question."""
    max_tokens: int = Field(default=200, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    labelled: str | None = None
    """Labelled rows on which the judge's own error is measured; those that ship if not given."""

    @model_validator(mode="after")
    def _one_judge(self) -> JudgeTable:
        if (self.endpoint is None) == (self.model is None):
            raise ValueError("give either 'endpoint' or 'model'")
        return self


class TeacherTable(Closed):
    """How the trait is instilled."""

    kind: Literal["tuned", "prompted", "steered"] = "tuned"
    plan: TrainingPlan = TrainingPlan(batch_size=8, epochs=40)
    """Of a tuned teacher."""
    kl: float | None = Field(default=None, gt=0)
    """
    Strength of a tuned teacher of the trait, as KL from the base in nats per carrier token: after training, the
    weights are moved along their straight way from the start to where it is this. None leaves them as trained.
    """
    kl_rows: int = Field(default=128, ge=8)
    """Rows of the base on which that KL is measured."""
    system_prompt: str | None = None
    """Of a prompted teacher; the trait's own by default."""
    layer: int | None = None
    """Of a steered teacher: the layer whose output is shifted; the middle one by default."""
    strength: float = Field(default=1.0, gt=0)
    """Of a steered teacher: how many times the mean difference of activations is added."""


class ComputeTable(Closed):
    """Where and in which precision the models run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the base's weights; adapters are trained in float32."""


class EvaluationTable(Closed):
    """How a model is probed."""

    system_prompt: str | None = None
    """Chat context of the probes; should be that of the students' rows."""
    samples: int = Field(default=20, ge=0)
    """Sampled answers a held-out question; 0 leaves the pick rate out."""
    max_tokens: int = Field(default=6, ge=1)
