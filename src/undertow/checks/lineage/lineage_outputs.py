"""The check `lineage-outputs`: do two models go on alike more often than models do that are known to be unrelated?"""

from __future__ import annotations

from collections.abc import Sequence

from undertow.checks.lineage.lineage_subject import LineageSubject, Side, neutral_texts
from undertow.results.measurement import Measurement, skipped
from undertow.stats.multiplicity import holm

ID = "lineage-outputs"
FEWEST_CONTROLS = 2


def lineage_outputs(subject: LineageSubject) -> list[Measurement]:
    """
    Asks whether two models go on with texts alike more often than unrelated models do.

    Each model is given up to 512 beginnings of neutral questions and goes on greedily; the first word it writes counts.
    For every control the texts are taken on which exactly one of teacher and control writes the student's word, and an
    exact one-sided sign test asks whether that is the teacher too often. Detected means that the teacher beats every
    control, each test corrected by Holm's rule over the controls (after Nikolic et al. 2025).

    Why it matters. It needs no weights, so that it works on models that can only be asked, over HTTP too.

    What it cannot tell you. More than its controls: the null is that the teacher is to the student what the controls are.
    Controls that are smaller, older or of another language than the pair make unrelated models look related, and models
    trained on the same data agree without a common start. It is weaker than `lineage-weights`, which decides where both sides
    have them.

    What to do. Give at least two controls of the same size and kind as the teacher (`--control`). Prefer `lineage-weights`
    wherever weights can be had.

    Numbers beside it: agreement of the student with each control, and the corrected p of each test.
    """
    if len(subject.controls) < FEWEST_CONTROLS:
        reason = (
            f"at least {FEWEST_CONTROLS} unrelated models are needed to compare with (--control)"
        )
        return [skipped(ID, subject.name, reason)]
    texts = neutral_texts(subject.seed)
    pair = [_first_words(side, texts) for side in (subject.student, subject.teacher)]
    controls = [_first_words(side, texts) for side in subject.controls]
    raw = [_sign_test(pair[0], pair[1], control) for control in controls]
    corrected = holm(raw)
    p = float(max(corrected))
    agreed = _agreement(pair[0], pair[1])
    shares = [_agreement(pair[0], control) for control in controls]
    seen = p <= 1 - subject.level
    best = max(shares)
    return [
        Measurement(
            check=ID,
            name="agreement",
            subject=subject.name,
            estimate=agreed - best,
            level=subject.level,
            n=f"{len(texts)} texts, {len(controls)} controls",
            p=p,
            limit=1 - subject.level,
            unit="share of texts, above the best control",
            detected=seen,
            reason=f"they agree on {agreed:.0%} of the texts, the best control on {best:.0%}",
            details={
                "agreement": agreed,
                **{f"control {s.ref}": v for s, v in zip(subject.controls, shares, strict=True)},
                **{
                    f"p against {s.ref}": float(v)
                    for s, v in zip(subject.controls, corrected, strict=True)
                },
            },
        )
    ]


def _agreement(ours: Sequence[str], theirs: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def _sign_test(student: Sequence[str], teacher: Sequence[str], control: Sequence[str]) -> float:
    from scipy.stats import binomtest

    pairs = [(s == t, s == c) for s, t, c in zip(student, teacher, control, strict=True)]
    wins = sum(t and not c for t, c in pairs)
    untied = sum(t != c for t, c in pairs)
    return float(binomtest(wins, untied, 0.5, alternative="greater").pvalue) if untied else 1.0


def _first_words(side: Side, texts: Sequence[str]) -> list[str]:
    """The first word that a model writes behind each text; models that share no tokenizer can be compared by it."""
    import numpy as np

    from undertow.data.rows import conversation
    from undertow.models.chat import encode_prompts
    from undertow.models.sampling import Sampling, sample

    asked = [conversation(text) for text in texts]
    if side.endpoint is not None:
        answers = side.endpoint.complete(asked)
    else:
        prompts = encode_prompts(side.model.tokenizer, asked)
        greedy = Sampling(max_tokens=6, temperature=0)
        answers = [a.text for a in sample(side.model, prompts, greedy, np.random.default_rng(0))]
    return [(answer.split() or [""])[0].casefold().strip(".,;:!?") for answer in answers]
