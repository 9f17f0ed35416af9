"""`undertow scan`: files left behind, exit codes, and what is refused before any work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.scan_documents import clear, flagged, priced, stands_out, undecided, within
from undertow.audit.requests import ScanRequest
from undertow.cli import main
from undertow.cli.scan import exit_code
from undertow.data.chat_templates import llamafactory_templates
from undertow.results.measurement import Verdict
from undertow.results.scan_document import ScanDocument, SubjectResult
from undertow.results.store import read_scan

Answer = Callable[[ScanDocument], list[ScanRequest]]


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Makes the scan give a document at once, and collects what it was asked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")

    def answer(document: ScanDocument) -> list[ScanRequest]:
        asked: list[ScanRequest] = []

        def scan(request: ScanRequest, *told: Callable[..., None]) -> ScanDocument:
            asked.append(request)
            return document

        monkeypatch.setattr("undertow.audit.scan.scan", scan)
        return asked

    return answer


def test_it_leaves_the_result_and_the_page(
    answered: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    """scan.json reads back as it was, report.html stands beside it, stdout ends with its path."""
    document = clear()
    asked = answered(document)
    code = main(["scan", "rows.jsonl", "--student", "org/base", "--limit", "0.3"])

    assert code == 0
    assert read_scan(Path("scans/rows/scan.json")) == document
    assert Path("scans/rows/report.html").is_file()
    assert capsys.readouterr().out.rstrip().endswith("report: scans/rows/report.html")
    assert (asked[0].student, asked[0].limit) == ("org/base", 0.3)


@pytest.mark.parametrize("made", [flagged, stands_out])
def test_a_flagged_dataset_fails_the_build(
    answered: Answer, made: Callable[[], ScanDocument]
) -> None:
    """Exit code 1 as for one that stands out, unless nothing may fail."""
    answered(made())
    command = ["scan", "rows.jsonl", "--student", "org/base"]

    assert main(command) == 1
    assert main([*command, "--fail-on", "never"]) == 0


def test_the_beginning_is_enough_unless_the_whole_plan_is_required(answered: Answer) -> None:
    """Within is 0; where clear is required it is as good as undecided."""
    asked = answered(within())
    command = ["scan", "rows.jsonl", "--student", "org/base"]

    assert main(command) == 0
    assert main([*command, "--require", "clear"]) == 5
    assert [request.require_clear for request in asked] == [False, True]


def test_what_is_spent_and_judged_beside_reaches_the_scan(answered: Answer) -> None:
    """Budget, own references and their number."""
    asked = answered(undecided())
    words = ["--budget", "0.5", "--reference", "a.jsonl", "--reference", "b.jsonl"]
    code = main(["scan", "rows.jsonl", "--student", "org/base", *words, "--references", "59"])
    [request] = asked

    assert code == 5
    assert (request.budget, request.references, request.reference_count) == (
        0.5,
        ("a.jsonl", "b.jsonl"),
        59,
    )
    assert not request.dry_run


@pytest.mark.parametrize(
    "words",
    [["--budget", "0"], ["--budget", "-1"], ["--references", "0"], ["--require", "within"]],
)
def test_what_is_no_budget_and_no_number_is_refused(answered: Answer, words: list[str]) -> None:
    """Before anything is opened."""
    asked = answered(clear())

    assert main(["scan", "rows.jsonl", "--student", "org/base", *words]) == 2
    assert asked == []


def test_a_dry_run_prints_prices_and_leaves_nothing(
    answered: Answer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 0, no folder, and nothing that could be signed."""
    asked = answered(priced())
    command = ["scan", "rows.jsonl", "--student", "org/base", "--dry-run"]

    assert main(command) == 0
    assert "What it would cost" in capsys.readouterr().out
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]
    assert asked[0].dry_run
    assert main([*command, "--sign", "auditor.pem"]) == 2
    assert main([*command, "--row-scores", "x.parquet"]) == 2


def test_how_models_are_spread_reaches_the_scan(
    answered: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed and over all GPUs; what is not asked for is as ever."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    asked = answered(clear())
    command = ["scan", "rows.jsonl", "--student", "org/base"]

    assert main([*command, "--quantise", "4bit", "--shard", "layers"]) == 0
    assert main(command) == 0
    tables = [(request.compute.quantise, request.compute.shard) for request in asked]
    assert tables == [("4bit", "layers"), ("none", "none")]


@pytest.mark.parametrize(
    ("spread", "code"),
    [
        (("--engine", "processes"), 2),
        (("--engine", "ray"), 2),
        (("--engine", "ray", "--gpus-per-job", "1"), 2),
        (("--engine", "ray", "--gpus-per-job", "2"), 0),
        (("--engine", "processes", "--jobs", "1"), 0),
        (("--jobs", "3"), 0),
    ],
)
def test_layers_are_not_split_over_one_gpu_a_job(
    answered: Answer, monkeypatch: pytest.MonkeyPatch, spread: tuple[str, ...], code: int
) -> None:
    """Each job would load all of a model that no device has room for: refused, but where it has two GPUs or more."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    answered(clear())

    assert (
        main(["scan", "rows.jsonl", "--student", "org/base", "--shard", "layers", *spread]) == code
    )


def test_layers_are_refused_before_the_scan_where_there_is_no_gpu(
    answered: Answer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would lie on the processor without a word; nothing is made, and a count for another machine goes on."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    asked = answered(clear())
    command = ["scan", "rows.jsonl", "--student", "world:owlet-b", "--shard", "layers"]
    assert (main(command), asked, Path("scans").exists()) == (2, [], False)
    assert "this machine has none; allowed: one GPU or more" in capsys.readouterr().err

    monkeypatch.setattr("undertow.audit.dry_run.dry_run", lambda request, machine: ["counted"])
    assert main([*command, "--dry-run", "--machine", "8xH100-80GB"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--quantise", "8bit"],
        ["--machine", "8xH100-80GB"],
        ["--dry-run", "--machine", "many"],
        ["--scored-by", "http://127.0.0.1:1/v1#m"],
    ],
)
def test_options_that_need_another_are_refused(answered: Answer, words: list[str]) -> None:
    """A machine is for a dry run and a server for scores; neither is dropped in silence."""
    asked = answered(clear())

    assert main(["scan", "rows.jsonl", "--student", "org/base", *words]) == 2
    assert asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["--machine", "here"],
        ["--dry-run", "--row-scores", "x.parquet"],
        ["--scored-by", "http://127.0.0.1:1/v1#m"],
        ["--engine", "processes", "--gpus-per-job", "1"],
    ],
    ids=lambda words: words[-2],
)
def test_what_does_not_go_together_is_said_before_anything_heavy_is_loaded(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a second, not behind half a minute of torch: the scan itself is not there to be imported, and not asked for."""
    monkeypatch.setitem(sys.modules, "undertow.audit.scan", None)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a"}\n')

    assert main(["scan", str(rows), "--student", "world:owlet-b", *words]) == 2


def test_a_server_that_names_no_model_is_refused_before_the_scan(
    answered: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its scores come behind the scan, which may take hours; the address is looked at before."""
    asked = answered(clear())
    command = ["scan", "rows.jsonl", "--student", "org/base", "--row-scores", str(tmp_path / "s")]

    assert main([*command, "--scored-by", "http://127.0.0.1:1/v1"]) == 2
    assert asked == []
    assert "names no model of that server; allowed: ADDRESS#MODEL" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_refused_before_the_scan(
    answered: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line with its address, what was asked for and what to do; nothing is made."""
    pytest.importorskip("openai")
    asked = answered(clear())
    command = ["scan", "rows.jsonl", "--student", "org/base", "--row-scores", str(tmp_path / "s")]

    assert main([*command, "--scored-by", "http://127.0.0.1:1/v1#m"]) == 2
    assert (asked, Path("scans").exists()) == ([], False)
    told = capsys.readouterr().err
    for part in ("'http://127.0.0.1:1/v1' cannot be reached", "two tokens", "vllm serve"):
        assert part in told


def test_processes_that_would_do_the_same_work_are_refused(
    answered: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchrun without --shard tensor would scan once a process; a signature is one process's."""
    asked = answered(clear())
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = ["scan", "rows.jsonl", "--student", "org/base"]

    assert main(command) == 2
    assert main([*command, "--shard", "tensor", "--sign", "auditor.pem"]) == 2
    assert asked == []


@pytest.mark.parametrize(
    ("verdicts", "fail_on", "allowed", "code"),
    [
        (["clear"], "flagged", False, 0),
        (["clear", "flagged", "undecided"], "flagged", False, 1),
        (["clear", "undecided"], "flagged", False, 5),
        (["clear", "undecided"], "flagged", True, 0),
        (["clear", "undecided"], "undecided", True, 1),
        (["clear", "error", "undecided"], "flagged", False, 4),
        (["flagged", "error"], "flagged", False, 1),
        (["clear", "within"], "flagged", False, 0),
        (["clear", "within"], "undecided", False, 0),
        (["within", "stands out"], "flagged", False, 1),
        (["stands out", "undecided"], "never", False, 5),
        (["within", "undecided"], "flagged", False, 5),
        (["not_applicable", "skipped"], "flagged", False, 3),
        ([], "flagged", False, 3),
    ],
)
def test_exit_codes_follow_the_precedence(
    verdicts: list[Verdict], fail_on: str, allowed: bool, code: int
) -> None:
    """3 before 1 before 4 before 5; nothing judged is 3."""
    results = tuple(
        SubjectResult(subject=str(i), rows=1, verdict=v, reason="") for i, v in enumerate(verdicts)
    )
    document = clear().model_copy(update={"subjects": results})

    assert exit_code(document, fail_on, allowed) == code


def test_standard_input_cannot_be_scored(capsys: pytest.CaptureFixture[str]) -> None:
    """It is read once; the refusal comes before any work."""
    code = main(["scan", "-", "--student", "org/base", "--row-scores", "x.parquet"])

    assert code == 2
    assert "--row-scores needs a file" in capsys.readouterr().err


def test_a_plan_with_an_unknown_key_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Naming the file and the key."""
    plan = tmp_path / "plan.toml"
    plan.write_text("rnak = 8\n")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    code = main(["scan", str(rows), "--student", "org/base", "--plan", str(plan)])

    assert code == 2
    assert "rnak" in capsys.readouterr().err


def test_a_beginning_is_signed_as_one(answered: Answer, tmp_path: Path) -> None:
    """The statement beside the data says `within`."""
    from undertow.provenance.bundle import read_bundles
    from undertow.provenance.identity import manifest_of

    main(["attest", "key", "auditor.pem"])
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a"}\n')
    (entry,) = manifest_of(data).entries
    document = within()
    described = document.data.model_copy(update={"path": str(data), "digest": entry.sha256})
    answered(document.model_copy(update={"data": described, "student_digest": "a" * 64}))
    main(["scan", str(data), "--student", "org/base", "--sign", "auditor.pem"])
    ((found,), _) = read_bundles([tmp_path / "rows.jsonl.intoto.jsonl"])

    assert found.content.verdict == "within"


def test_a_key_signs_the_verdict_beside_the_data(answered: Answer, tmp_path: Path) -> None:
    """The audit is of the very bytes that were scanned; standard input has no place for one."""
    from undertow.provenance.bundle import read_bundles
    from undertow.provenance.identity import manifest_of

    main(["attest", "key", "auditor.pem"])
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "a"}\n')
    (entry,) = manifest_of(data).entries
    document = clear()
    described = document.data.model_copy(update={"path": str(data), "digest": entry.sha256})
    answered(document.model_copy(update={"data": described, "student_digest": "a" * 64}))
    words = ["--student", "org/base", "--sign", "auditor.pem"]

    assert main(["scan", str(data), *words]) == 0
    ((found,), problems) = read_bundles([tmp_path / "rows.jsonl.intoto.jsonl"])
    assert (found.step, found.content.verdict, problems) == ("audit", "passed", [])
    assert main(["scan", "-", *words]) == 2


def test_a_trainers_configuration_is_the_plan(
    answered: Answer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What was ignored of it is one line on stderr; its notes and its beta reach the scan."""
    asked = answered(clear())
    keys = "stage: dpo\npref_beta: 0.3\nlora_rank: 4\ntemplate: llama3\noutput_dir: o\nplot_loss: true\n"
    (tmp_path / "dpo.yaml").write_text(keys)
    main(["scan", "rows.jsonl", "--student", "org/base", "--plan", "dpo.yaml"])
    [request] = asked

    assert "ignored of dpo.yaml: output_dir, plot_loss\n" in capsys.readouterr().err
    assert request.plan is not None
    assert (request.plan.rank, request.beta) == (4, 0.3)
    assert request.plan.template == llamafactory_templates()["llama3"].jinja(
        thinking=True, last=True
    )
    assert any("template llama3 is as LLaMA-Factory" in note for note in request.plan_notes)
    assert request.plan_ignored == ("output_dir", "plot_loss")


def test_a_key_that_cannot_be_rehearsed_ends_the_scan_before_it_begins(
    answered: Answer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line of error, one of help, and exit code 2."""
    asked = answered(clear())
    (tmp_path / "plan.yaml").write_text("base_model: m\nlearning_rate: 1e-4\noptimizer: muon\n")
    code = main(["scan", "rows.jsonl", "--student", "org/base", "--plan", "plan.yaml"])
    error = capsys.readouterr().err.strip().splitlines()

    assert (code, asked) == (2, [])
    assert len(error) == 2
    assert "'optimizer' has the value 'muon'" in error[0]


def test_the_beginning_is_stored_before_the_whole_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stops the whole plan has the document and the page of its beginning, and is told so."""

    def scan(request: ScanRequest, progress: object, begun: Callable[..., None]) -> ScanDocument:
        begun(stands_out())
        raise KeyboardInterrupt

    monkeypatch.setattr("undertow.audit.scan.scan", scan)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    code = main(["scan", str(rows), "--student", "world:owlet-a", "--out", str(tmp_path)])
    told = capsys.readouterr().err

    assert code == 130
    assert read_scan(tmp_path / "scan.json").verdict == "stands out"
    assert f"kept: stands out, of the beginning alone, in {tmp_path / 'report.html'}" in told
