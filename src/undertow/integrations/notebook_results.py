"""
The verbs `scan`, `diff` and `gate` in Python, as `undertow.scan(...)` and its like: what the command line does, by the
same callables, without printing; each gives a frozen result, which a notebook shows as the page's first lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from undertow.audit.allowed_values import refuse_wrong
from undertow.audit.diff import diff as compared
from undertow.audit.eval_logs import diff_logs, is_log
from undertow.audit.requests import DiffRequest, ScanRequest, by_plan, scan_by_plan
from undertow.audit.scan import scan as screened
from undertow.data.files import atomic_write
from undertow.data.plan_files import LoadedPlan, load_plan
from undertow.errors import InputError, UnknownNameError
from undertow.integrations.typed_commands import NO_OPTION, typed_command
from undertow.policy.gate import compiled_rules, decide
from undertow.policy.rules import load_policy
from undertow.provenance.statement import time_text
from undertow.provenance.trust import read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.report import page_of, render
from undertow.report.html import render_point
from undertow.report.scan_forest import transfers
from undertow.results.measurement import Measurement, Verdict
from undertow.results.model_documents import Change, DiffDocument
from undertow.results.provenance_documents import GateDocument, RuleResult
from undertow.results.scan_document import ScanDocument, SubjectResult
from undertow.results.store import Result, write_result

Tell = Callable[[str], None]
"""Is told what is being done."""


def _silent(doing: str) -> None:
    """Nobody asked how far the work is."""


class ShownResult:
    """What results have in common: their display, and how they are stored."""

    document: Result
    _FILE: str
    _PAGE = "report.html"

    @property
    def conclusion(self) -> str:
        """What was found, in one or two sentences, with numbers."""
        return self.document.conclusion

    @property
    def todo(self) -> str:
        """What to do next, with the command for it."""
        point = page_of(self.document).point
        return "" if point is None else f"{point.todo} {point.command}".strip()

    def save(self, folder: str | Path) -> Path:
        """
        Write the document and its page into a folder, as the verb does with `--out`; the path of the page.

        Raises:
            InputError: the folder cannot be made or written to.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_result(folder / self._FILE, self.document)
        page = folder / self._PAGE
        atomic_write(page, render(self.document, "html"))
        return page

    def _repr_html_(self) -> str:
        """The page's first lines: escaped, without a script, an address or a style sheet of their own."""
        return render_point(page_of(self.document))


@dataclass(frozen=True, repr=False)
class ScanResult(ShownResult):
    """What training on a dataset would do to a student, as `undertow scan` says it."""

    document: ScanDocument
    """As it is stored."""
    _FILE = "scan.json"

    @property
    def verdict(self) -> Verdict:
        """The most severe of the file and all its sources."""
        return self.document.verdict

    @property
    def subjects(self) -> tuple[SubjectResult, ...]:
        """The verdict on the file and on each source."""
        return self.document.subjects

    @property
    def effects(self) -> tuple[Measurement, ...]:
        """What moved each trait on each subject, in logits, of the stage that its verdict rests on; the largest first."""
        named = (one.subject for one in self.document.subjects)
        return tuple(effect for subject in named for effect in transfers(self.document, subject))

    def __repr__(self) -> str:
        data, student = self.document.data.path, self.document.student
        return f"ScanResult({self.verdict!r}, data={data!r}, student={student!r})"


@dataclass(frozen=True, repr=False)
class DiffResult(ShownResult):
    """What a fine-tune changed, as `undertow diff` says it."""

    document: DiffDocument
    """As it is stored."""
    _FILE = "diff.json"

    @property
    def verdict(self) -> Verdict:
        """The most severe of all traits that nobody asked for."""
        return self.document.verdict

    @property
    def effects(self) -> tuple[Change, ...]:
        """How far each trait moved, the largest change first."""
        return self.document.changes

    def __repr__(self) -> str:
        base, tuned = self.document.base, self.document.tuned
        return f"DiffResult({self.verdict!r}, base={base!r}, tuned={tuned!r})"


@dataclass(frozen=True, repr=False)
class GateResult(ShownResult):
    """Whether a dataset may be trained on, as `undertow gate` says it; true where it may."""

    document: GateDocument
    """As it is stored."""
    _FILE, _PAGE = "gate.json", "gate.html"

    @property
    def verdict(self) -> str:
        """`allowed` or `refused`."""
        return self.document.decision

    @property
    def rules(self) -> tuple[RuleResult, ...]:
        """Each rule of the policy, with its outcome and its reason."""
        return self.document.rules

    def __bool__(self) -> bool:
        return self.document.decision == "allowed"

    def __repr__(self) -> str:
        data, policy = self.document.verification.data, self.document.policy
        return f"GateResult({self.verdict!r}, data={data!r}, policy={policy!r})"


def scan(
    data: str | Path,
    *,
    student: str | Path,
    plan: str | Path | None = None,
    traits: str | Sequence[str] = (),
    tell: Tell = _silent,
    **more: Any,
) -> ScanResult:
    """
    Whether training on a dataset would move a student: `undertow scan DATA --student MODEL`.

    Args:
        data: a file of rows, a folder, a pattern, a URL or a name on the hub.
        student: the base that would be trained.
        plan: the file of the training plan; the usual one of the base if None.
        traits: a name, a category or a file of traits, or several; all that the student can be asked if empty.
        tell: is told what is being done, a line at a time: `print` shows it.
        more: further fields of `undertow.audit.requests.ScanRequest`, e.g. `max_rows=512`, `require_clear=True`,
            `columns={"prompt": "question"}`.

    Raises:
        InputError: data, a model, the plan or the engine cannot be used; an argument has a value that the verb refuses.
        NothingLeftError: no row is left that the student could be trained on.
        UnknownNameError: there is no such trait, check or argument.

    >>> import undertow
    >>> undertow.scan("no-such-rows.jsonl", student="world:owlet-a")
    Traceback (most recent call last):
        ...
    undertow.errors.DataError: no such file: 'no-such-rows.jsonl'
    """
    refuse_wrong(_Asked(tell, plan))
    given = _fields(ScanRequest, {"traits": traits, **more})
    asked = {**scan_by_plan(_planned(plan)), **given}
    request = ScanRequest(data=_named(data), student=_named(student), **asked)
    told = typed_command("scan", data, student=student, plan=plan, **given)
    return ScanResult(screened(replace(request, command=told), tell))


def diff(
    base: str | Path,
    *tuned: str | Path,
    controls: str | Sequence[str] = (),
    plan: str | Path | None = None,
    traits: str | Sequence[str] = (),
    tell: Tell = _silent,
    **more: Any,
) -> DiffResult:
    """
    What a fine-tune changed that nobody asked for: `undertow diff BASE TUNED`, of models or of logs of Inspect AI.

    Args:
        base: the model before it was tuned.
        tuned: the model, or several, after.
        controls: benign fine-tunes of the base, clean rows, kept readings, or `shipped`.
        plan: of control students; the file that the model was tuned with.
        traits: those to judge; all that can be asked if empty.
        tell: is told what is being done, a line at a time.
        more: further fields of `undertow.audit.requests.DiffRequest`, e.g. `intended=("owl",)`.

    Raises:
        InputError: no tuned model is named; an argument has a value that the verb refuses.
        ModelError: a model cannot be opened, or has another vocabulary than the base.
        UnknownNameError: there is no such trait, check or argument.
    """
    refuse_wrong(_Asked(tell, plan))
    given = _fields(DiffRequest, {"controls": controls, "traits": traits, **more})
    asked = {**by_plan(_planned(plan)), **given}
    request = DiffRequest(_named(base), tuple(map(_named, tuned)), **asked)
    logs = all(map(is_log, (request.base, *request.tuned)))
    if logs and "limit" not in given:
        request = replace(request, limit=0.05)
    request = replace(request, command=typed_command("diff", base, *tuned, plan=plan, **given))
    return DiffResult(diff_logs(request) if logs else compared(request, tell))


def gate(
    data: str | Path,
    *,
    student: str | Path,
    policy: str | Path,
    trust: str | Path,
    root: str | Path | None = None,
    attestations: Sequence[str | Path] = (),
    least_version: int = 1,
    at: datetime | None = None,
) -> GateResult:
    """
    Whether a policy allows to train on a dataset: `undertow gate DATA --student MODEL --policy NAME --trust FILE`.

    Args:
        data: the rows, beside which their attestations lie.
        student: the base that would be trained, or the digest of its weights.
        policy: `permissive`, `default`, `safety-critical`, or a file.
        trust: whose keys may say what.
        root: public key that the trust file is signed with.
        attestations: further bundles.
        least_version: of the trust file; older ones are refused.
        at: as of when; now if None.

    Raises:
        ConfigError: the policy or the trust file is wrong.
        ProvenanceError: the trust file does not hold, or is older than it may be.
        InputError: the data cannot be read; an argument has a value that the verb refuses.
    """
    bundles = _tuple_of(attestations)
    refuse_wrong(_GateAsked(data, student, policy, trust, root, bundles, least_version, at))
    if at is not None and at.tzinfo is None:
        raise InputError(
            f"at is {at.isoformat()}, in no time zone; allowed: a moment with its time zone",
            hint="say which it is in: at.replace(tzinfo=datetime.UTC)",
        )
    loaded = load_policy(str(policy))
    custom = compiled_rules(loaded)
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    trusted = read_trust(
        Path(trust), now=moment, root=Path(root) if root else None, least_version=least_version
    )
    told = typed_command(
        "gate",
        data,
        student=student,
        policy=policy,
        trust=trust,
        root=root,
        attestations=bundles,
        least_version=None if least_version == 1 else least_version,
        at=None if at is None else time_text(moment),
    )
    request = VerifyRequest(str(data), str(student), tuple(map(Path, bundles)), told)
    return GateResult(decide(loaded, custom, verify(request, trusted, moment), command=told))


@dataclass(frozen=True)
class _Asked:
    """What a scan and a diff are told besides their request."""

    tell: Tell
    plan: str | Path | None


@dataclass(frozen=True)
class _GateAsked:
    """The arguments of `gate`."""

    data: str | Path
    student: str | Path
    policy: str | Path
    trust: str | Path
    root: str | Path | None
    attestations: tuple[str | Path, ...]
    least_version: int
    at: datetime | None


def _planned(path: str | Path | None) -> LoadedPlan | None:
    """What a plan's file holds."""
    return None if path is None else load_plan(Path(path))


def _fields(request: type[ScanRequest | DiffRequest], given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Fields of a request as it holds them: one name may stand for several, and a table for pairs.

    Raises:
        UnknownNameError: the request has no such field.
    """
    held = {one.name: one for one in fields(request) if one.name not in (*NO_OPTION, "tuned")}
    for name in given:
        if name not in held:
            raise UnknownNameError("argument", name, held)
    made = {
        name: _tuple_of(value) if isinstance(held[name].default, tuple) else _named(value)
        for name, value in given.items()
    }
    kept = made.get("keep_controls")
    return made | ({"keep_controls": Path(kept)} if isinstance(kept, str) else {})


def _tuple_of(value: Any) -> Any:
    """Of one name or several, or of a table's pairs; what is neither is left for the request to refuse."""
    if isinstance(value, str | Path):
        return (_named(value),)
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple(map(_named, value)) if isinstance(value, Iterable) else value


def _named(value: Any) -> Any:
    """A path as the text that it would be typed as; anything else as it is."""
    return str(value) if isinstance(value, Path) else value
