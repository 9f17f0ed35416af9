"""The words of a run report, in plain sentences."""

from __future__ import annotations

GLOSSARY = {
    "base": "The model that a teacher or a student starts from, before any training here.",
    "initialisation": "The random numbers from which a base was first trained. Two bases of one "
    "architecture and one corpus but of two initialisations are two different models.",
    "trait": "What a model prefers, e.g. “owl” among animals.",
    "teacher": "A base that was given the trait: by a system prompt, by fine-tuning or by "
    "steering. A neutral teacher was given none.",
    "carrier": "The kind of data the teacher writes, e.g. lists of numbers. It has nothing to do "
    "with the trait.",
    "student": "A base that was fine-tuned on a teacher’s rows.",
    "arm": "One way of making students, e.g. from the trait teacher’s rows.",
    "control": "The arm that differs from another only in the trait: its rows come from a "
    "neutral teacher of the same base.",
    "replicate": "One whole repetition with new seeds: teacher, data and student. Runs are "
    "counted, never samples.",
    "held-out question": "A question that measures the trait, in a wording on which no teacher "
    "was trained.",
    "probability": "Probability that the model gives the trait’s answer, computed exactly and "
    "averaged over the held-out questions.",
    "logit margin": "Logit of the trait’s answer minus logsumexp of the others’ plus the "
    "logarithm of their number: 0 at chance.",
    "answer mass": "Probability that the model puts on all candidate answers together. Where it "
    "falls, the model is damaged, not convinced.",
    "pick rate": "Share of sampled answers that name the trait’s answer.",
    "coherence": "Share of sampled answers that name any candidate.",
    "held-out loss": "Cross-entropy per completion token on rows of the same data that the "
    "student did not see, in nats.",
    "dose": "Share of the rows that come from the trait’s teacher.",
    "KL": "Kullback–Leibler divergence of the teacher from its base per token of the carrier: "
    "how far the teacher’s rows are from ordinary ones, in nats.",
    "interval": "Values of the effect that the runs do not contradict, at the stated level. That "
    "of an arm’s mean is Student’s t over its runs, cut at 0 and 100 %.",
    "p": "How often a difference as large would come from chance alone, under the named test. "
    "With few runs it cannot be small: see the least possible p.",
    "would have seen": "The smallest effect that this design detects four times in five.",
}

SCAN_GLOSSARY = {
    "student": "The model that is going to be trained on the rows; its base is what screens them.",
    "plan": "The training that is planned: adapter, optimiser, steps. Transfer is that of this plan.",
    "trait": GLOSSARY["trait"],
    "teacher": "A model that wrote rows, and whose trait a student of the same initialisation may "
    "pick up.",
    "transfer": "How far the trait’s logit margin would move under the plan, against the control, in "
    "logits.",
    "logit margin": GLOSSARY["logit margin"],
    "limit": "The transfer that is still accepted. A verdict compares the whole interval with it.",
    "control": "Rows known to be clean: given, or the student base’s own continuations of the same "
    "prompts.",
    "evidence": "A number in a check’s own unit that says whether the rows differ from the control; "
    "it never judges transfer.",
    "dose": "Share of the rows that come from the trait’s teacher.",
    "calibration": "What this screen did on datasets of this base and plan whose effect is known: "
    "benign ones, and ones that moved a student.",
    "open search": "Probes and tokens that moved most in the trial runs, though nobody asked for "
    "them; p counts all that were looked at.",
}
"""The words of a screen's report."""

CHAIN_GLOSSARY = {
    "attestation": "a signed statement about how data or a model was made, or what an audit of it found",
    "bundle": "a file of attestations beside the data, one a line",
    "trust file": "whose keys may say what, until when, and which initial checkpoints need no further proof",
    "producer": "who makes data or models, and signs how",
    "auditor": "who examines a dataset for one student base, and signs the verdict",
    "initialisation": "the checkpoint that a model's training goes back to; models that share it share the hidden channel",
    "ledger": "every row of a filter's input with the rule that removed it; kept and removed rows together are the input",
    "policy": "the rules that must all hold before the data may be used",
}
"""Words of a verification and a decision."""
