"""The GitHub Action and the pre-commit hooks: each shell step run with a fake environment, and no text becomes program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
HOSTILE = "$(touch pwned) `touch pwned`\n'; touch pwned; \"\\ ${{ 1 }}"
RECORD = """#!{python}
import json, sys
with open({log!r}, "a") as file:
    file.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
{then}
"""


class Runner:
    """A runner's environment, with programs that only write down what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls"
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            (folder / name).touch()

    def program(self, name: str, then: str = "") -> None:
        """A program of this name."""
        text = RECORD.format(python=sys.executable, log=str(self.log), name=name, then=then)
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self, step: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A step's program, as GitHub runs it; the step's environment is given or empty."""
        chosen = next(one for one in STEPS if one["name"] == step)
        names = chosen.get("env", {})
        assert set(environment) <= {*names, "RUNNER_OS"}
        own = {name: environment.get(name, "") for name in names}
        fixed = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.folder / "temp"),
            "RUNNER_OS": "Linux",
            "GITHUB_ACTION_PATH": "/action",
            "GITHUB_REPOSITORY": "org/repository",
            "GITHUB_OUTPUT": str(self.folder / "GITHUB_OUTPUT"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "GITHUB_STEP_SUMMARY"),
        }
        script = self.folder / "step.sh"
        script.write_text(chosen["run"])
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder,
            env=fixed | own,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[list[str]]:
        """Of the programs, in their order."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    @property
    def outputs(self) -> dict[str, str]:
        """What the steps told."""
        lines = (self.folder / "GITHUB_OUTPUT").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """With an `undertow` that leaves a summary and a log of two runs, and stands out."""
    runner = Runner(tmp_path)
    runner.program(
        "undertow",
        "import os, pathlib\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        "out.joinpath('changed.md').write_text('<!-- undertow changed -->\\nsummary')\n"
        "out.joinpath('changed.sarif').write_text('\"automationDetails\"\\n\"automationDetails\"\\n')\n"
        "out.joinpath('cache').write_text(os.environ['UNDERTOW_CACHE'])\n"
        "sys.exit(1)",
    )
    return runner


def test_no_text_from_outside_is_program() -> None:
    """No expression stands in a `run`: what is given reaches the shell by its environment alone."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []
    assert all(step["shell"] == "bash" for step in STEPS if "run" in step)


def test_the_action_holds_together() -> None:
    """Each input that an expression reads is declared, and each step that one names is there."""
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\binputs\.([\w-]+)", text))
    steps = set(re.findall(r"\bsteps\.([\w-]+)", text))
    outputs = set(re.findall(r"\bsteps\.scan\.outputs\.([\w-]+)", text))
    written = next(step["run"] for step in STEPS if step["name"] == "Scan")

    assert used == set(ACTION["inputs"])
    assert steps <= {step.get("id") for step in STEPS}
    assert all(f'"{name}=' in written for name in outputs)


def test_the_example_gives_inputs_that_there_are() -> None:
    """Each input of examples/scan.yml is the action's, the required one is among them, and its options are a scan's."""
    from undertow.cli.changed import command

    workflow = yaml.safe_load((ROOT / "examples" / "scan.yml").read_text(encoding="utf-8"))
    given = workflow["jobs"]["scan"]["steps"][-1]["with"]
    known = {option for parameter in command.params for option in parameter.opts}

    assert set(given) <= set(ACTION["inputs"])
    assert "student" in given
    assert {word for word in given["args"].split() if word.startswith("--")} <= known


def test_what_is_installed(runner: Runner) -> None:
    """The action's own revision, the package that was named as it was named, or nothing."""
    runner.program("python")
    for package in ("", HOSTILE, "none"):
        assert runner.run("Install undertow", PACKAGE=package).returncode == 0

    assert runner.calls == [
        ["python", "-m", "pip", "install", "/action[models,data]"],
        ["python", "-m", "pip", "install", HOSTILE],
    ]
    assert not (runner.folder / "pwned").exists()


def test_references_are_kept_by_base_and_plan(runner: Runner) -> None:
    """Another base or another plan has a key of its own, the same ones have the same; no key holds what was given."""
    (runner.folder / "plan.toml").write_text("rank = 8")
    keys = []
    for student, plan in (
        (HOSTILE, ""),
        ("org/base", ""),
        ("org/base", "plan.toml"),
        (HOSTILE, ""),
    ):
        assert runner.run("Name what is kept", STUDENT=student, PLAN=plan).returncode == 0
        keys.append(runner.outputs["key"])

    assert keys[0] == keys[3]
    assert len(set(keys)) == 3
    assert runner.outputs["once"].startswith(f"{keys[3]}-")
    assert all(re.fullmatch(r"undertow-Linux-[0-9a-f]{32}", key) for key in keys)
    refused = runner.run("Name what is kept", STUDENT="org/base", PLAN="nowhere.toml")
    assert refused.returncode == 2
    assert "names no file" in refused.stdout


def test_two_students_share_nothing(runner: Runner) -> None:
    """Two uses of the action in one workflow, or one job: each has a folder and an artefact of its own."""
    told = []
    for student in ("org/base", "org/other"):
        runner.run("Name what is kept", STUDENT=student)
        told.append(runner.outputs)
    kept = next(step["with"]["name"] for step in STEPS if step["name"] == "Keep the pages")

    assert len({outputs["folder"] for outputs in told}) == 2
    assert "steps.place.outputs.key" in kept
    assert all((Path(outputs["folder"]) / "scans").is_dir() for outputs in told)


def test_the_example_takes_no_file_that_is_no_data() -> None:
    """Each of its patterns ends in that of a data file: what a pathspec takes is scanned whatever it is called."""
    from undertow.cli.changed import _DATA

    workflow = yaml.safe_load((ROOT / "examples" / "scan.yml").read_text(encoding="utf-8"))
    paths = workflow["jobs"]["scan"]["steps"][-1]["with"]["paths"].split()

    assert paths
    assert all(_DATA.search(path) for path in paths)


def scanned(runner: Runner, **environment: str) -> subprocess.CompletedProcess[str]:
    """The scan's step, behind the one that makes its folder."""
    runner.run("Name what is kept", STUDENT="org/base")
    return runner.run("Scan", FOLDER=runner.outputs["folder"], **environment)


def test_a_scan_gets_its_words_as_they_are(runner: Runner) -> None:
    """A line of `paths` and of `args` is one word each, whatever it holds."""
    done = scanned(
        runner,
        STUDENT="org/base",
        SINCE="abc",
        PATHS="data/**\n$(touch pwned) *.jsonl",
        PLAN="my plan.toml",
        WORDS="--traits\nowl\n`touch pwned`",
        FAIL_ON="never",
    )
    folder = runner.outputs["folder"]

    assert done.returncode == 0, done.stderr
    assert runner.calls[-1] == [
        *("undertow", "changed", "--student", "org/base", "--since", "abc", "--fail-on", "never"),
        *("--out", f"{folder}/scans", "--plan", "my plan.toml", "--paths", "data/**"),
        *("--paths", "$(touch pwned) *.jsonl", "--traits", "owl", "`touch pwned`"),
    ]
    assert not (runner.folder / "pwned").exists()


def test_the_verdict_waits_for_upload_and_comment(runner: Runner) -> None:
    """The scan's step tells its code and leaves the summary; the last one ends with it."""
    done = scanned(runner, STUDENT=HOSTILE, SINCE=HOSTILE, FAIL_ON="flagged")

    assert (done.returncode, runner.outputs["exit-code"], runner.outputs["runs"]) == (0, "1", "2")
    assert "summary" in (runner.folder / "GITHUB_STEP_SUMMARY").read_text()
    assert (Path(runner.outputs["folder"]) / "scans" / "cache").read_text().endswith("/cache")
    assert runner.run("Decide", CODE="1").returncode == 1
    assert runner.run("Decide", CODE="0").returncode == 0
    assert STEPS[-1]["name"] == "Decide"


STATUS = ("always()", "cancelled()", "success()", "failure()")


def taken(
    failing: tuple[str, ...] = (), *, outputs: dict[str, dict[str, str]], cancelled: str = ""
) -> list[str]:
    """
    The steps that a runner takes, by their conditions: without one, or without a function of the status in it, a step is
    taken where none before it failed. A job is `cancelled` in the step of this name. What steps tell is given by their id.
    """
    told: dict[str, dict[str, str]] = {}
    names: list[str] = []
    failed = stopped = False
    for step in STEPS:
        asked = str(step.get("if", "success()"))
        asked = asked.removeprefix("${{").removesuffix("}}").strip()
        if not any(word in asked for word in STATUS):
            asked = f"success() && ({asked})"
        if not holds(asked, told, failed, stopped):
            continue
        names.append(step["name"])
        stopped |= step["name"] == cancelled
        failed |= step["name"] in failing
        if "id" in step and step["name"] not in failing:
            told[step["id"]] = outputs.get(step["id"], {})
    return names


def holds(asked: str, told: dict[str, dict[str, str]], failed: bool, stopped: bool) -> bool:
    """A condition, of a pull request whose inputs are as they are declared: what was not told is empty, which is 0."""
    defaults = {name: str(known.get("default", "")) for name, known in ACTION["inputs"].items()}

    def value(match: re.Match[str]) -> str:
        step, name = match[1], match[2]
        text = told.get(step, {}).get(name, "")
        return repr(int(text)) if text.isdigit() else repr(text)

    numbers = re.sub(r"(steps\.[\w-]+\.outputs\.[\w-]+)(?= [<>])", r"(\1 or 0)", asked)
    words = re.sub(r"steps\.([\w-]+)\.outputs\.([\w-]+)", value, numbers)
    words = re.sub(r"inputs\.([\w-]+)", lambda match: repr(defaults[match[1]]), words)
    words = words.replace("github.event.pull_request.number", "5")
    for name, state in zip(STATUS, (True, stopped, not (failed or stopped), failed), strict=True):
        words = words.replace(name, str(state))
    words = words.replace("&&", " and ").replace("||", " or ")
    words = re.sub(r"!(?!=)", " not ", words)
    return bool(eval(words, {"__builtins__": {}}))


PLACE = {"folder": "f", "key": "k", "once": "k-1"}
FLAGGED = {
    "place": PLACE,
    "scan": {"exit-code": "1", "summary": "changed.md", "sarif": "changed.sarif", "runs": "2"},
}
ALL_BUT_DECIDE = ("Upload findings", "Keep the pages", "Comment")


def test_references_are_kept_whatever_the_verdict() -> None:
    """The step that keeps them stands behind the scan and before the one that fails, and no status of the job stops it."""
    names = taken(("Decide",), outputs=FLAGGED)
    keep = next(step for step in STEPS if step["name"] == "Keep references")
    combined = [step["uses"] for step in STEPS if step.get("uses", "").startswith("actions/cache@")]

    assert names.index("Scan") < names.index("Keep references") < names.index("Decide")
    assert "Keep references" in taken(("Scan",), outputs={"place": PLACE}, cancelled="Scan")
    # The action that fetches and keeps in one has `post-if: success()`.
    assert (combined, keep["uses"].split("@")[0]) == ([], "actions/cache/save")


def test_what_is_fetched_is_what_was_kept() -> None:
    """Both steps name one folder; what is kept has a name of its own, which begins as that by which the next run asks."""
    fetch, keep = (
        next(step["with"] for step in STEPS if step["name"] == name)
        for name in ("Fetch references", "Keep references")
    )

    assert fetch["path"] == keep["path"]
    assert fetch["key"] == keep["key"] == "${{ steps.place.outputs.once }}"
    assert fetch["restore-keys"] == "${{ steps.place.outputs.key }}-"


@pytest.mark.parametrize("refused", ALL_BUT_DECIDE)
def test_one_refused_step_hides_no_other(refused: str) -> None:
    """Without the right to upload, or with a name that is taken, pages, comment and verdict are there all the same."""
    names = taken((refused, "Decide"), outputs=FLAGGED)

    assert set(ALL_BUT_DECIDE) | {"Decide"} <= set(names)


def test_a_scan_that_never_began_leaves_nothing_to_show() -> None:
    """Without an installation only that step fails; a scan that was cancelled is not judged."""
    assert taken(("Install undertow",), outputs=FLAGGED) == ["Install undertow"]
    cut = taken(("Scan",), outputs={"place": PLACE}, cancelled="Scan")
    assert not {*ALL_BUT_DECIDE, "Decide"} & set(cut)


@pytest.mark.parametrize(("runs", "uploaded"), [("0", False), ("20", True), ("21", False)])
def test_what_code_scanning_would_refuse_is_not_uploaded(runs: str, uploaded: bool) -> None:
    """It takes 20 files at once; more are told of by the scan's step, and the verdict comes as ever."""
    outputs = FLAGGED | {"scan": FLAGGED["scan"] | {"runs": runs}}
    names = taken(outputs=outputs)

    assert ("Upload findings" in names) == uploaded
    assert {"Comment", "Decide"} <= set(names)


def test_many_files_are_told_of(runner: Runner) -> None:
    """A warning says that their log is not uploaded, and where it is."""
    many = "'\"automationDetails\"\\n' * 21"
    runner.program(
        "undertow",
        "import pathlib\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        f"out.joinpath('changed.sarif').write_text({many})\n",
    )
    done = scanned(runner, STUDENT="org/base", FAIL_ON="flagged")

    assert runner.outputs["runs"] == "21"
    assert "::warning::21 files were scanned" in done.stdout


def test_a_scan_that_left_nothing_is_no_upload(runner: Runner) -> None:
    """Where `undertow changed` was refused, there are no runs to upload and no summary, and the code is its own."""
    runner.program("undertow", "sys.exit(2)")
    done = scanned(runner, STUDENT="org/base", SINCE="nowhere", FAIL_ON="flagged")

    assert done.returncode == 0, done.stderr
    assert (runner.outputs["exit-code"], runner.outputs["runs"]) == ("2", "0")
    assert runner.run("Comment", SUMMARY=runner.outputs["summary"]).returncode == 0


@pytest.mark.parametrize(("earlier", "method"), [("", "POST"), ("7\\n9", "PATCH")])
def test_a_comment_replaces_the_earlier_one(runner: Runner, earlier: str, method: str) -> None:
    """The first that begins with the mark is changed; where there is none, one is made."""
    runner.program("gh", f"if '--jq' in sys.argv: print('{earlier}')")
    summary = runner.folder / "a summary.md"
    summary.write_text("text")
    done = runner.run("Comment", GH_TOKEN="t", NUMBER="5", SUMMARY=str(summary))
    listed, written = runner.calls
    place = "issues/comments/7" if earlier else "issues/5/comments"

    assert done.returncode == 0, done.stderr
    assert "repos/org/repository/issues/5/comments" in listed
    assert written == [
        *("gh", "api", "--method", method, f"repos/org/repository/{place}"),
        *("-F", f"body=@{summary}"),
    ]


def test_a_fork_without_the_right_to_write_is_told(runner: Runner) -> None:
    """A comment that is refused is a warning, and the step goes on."""
    runner.program("gh", "sys.exit(1)")
    summary = runner.folder / "summary.md"
    summary.write_text("text")
    done = runner.run("Comment", NUMBER="5", SUMMARY=str(summary))

    assert done.returncode == 0
    assert "::warning::" in done.stdout


def test_the_scan_hook_installs_what_a_scan_needs() -> None:
    """Its dependencies are those of the extras `models` and `data`, as pyproject.toml has them."""
    [hook] = [hook for hook in HOOKS if hook["id"] == "undertow-scan"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]

    assert sorted(hook["additional_dependencies"]) == sorted({*extras["models"], *extras["data"]})
    assert re.search(hook["files"], "data/rows.jsonl.gz")
    assert not re.search(hook["files"], "package.json")


@pytest.mark.long
def test_pre_commit_runs_the_scan_hook(tmp_path: Path) -> None:
    """pre-commit itself, with the hook's own entry: data files alone, in one call, behind the arguments."""
    program = pre_commit()
    runner = Runner(tmp_path)
    runner.program("undertow")
    [hook] = [hook for hook in HOOKS if hook["id"] == "undertow-scan"]
    local = {k: v for k, v in hook.items() if k not in ("additional_dependencies", "language")}
    local |= {"language": "system", "args": ["--student", "org/base"]}
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    for name in ("a.jsonl", "b c.csv.gz", "package.json"):
        (folder / name).write_text("1")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    done = subprocess.run(
        [program, "run", "--all-files", "--hook-stage", hook["stages"][0], "undertow-scan"],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{runner.programs}:{os.environ['PATH']}",
            "PRE_COMMIT_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    [call] = runner.calls

    assert done.returncode == 0, done.stdout
    assert call[:4] == ["undertow", "changed", "--student", "org/base"]
    assert sorted(call[4:]) == ["a.jsonl", "b c.csv.gz"]


@pytest.mark.long
def test_pre_commit_takes_the_manifest() -> None:
    """Its own validator."""
    manifest = str(ROOT / ".pre-commit-hooks.yaml")
    assert (
        subprocess.run([pre_commit(), "validate-manifest", manifest], check=False).returncode == 0
    )


def pre_commit() -> str:
    """The program: beside this interpreter, or where UNDERTOW_PRE_COMMIT says."""
    beside = Path(sys.executable).parent / "pre-commit"
    program = os.environ.get("UNDERTOW_PRE_COMMIT") or (str(beside) if beside.exists() else "")
    if not program:
        pytest.skip(
            "pre-commit 4.7.0 is not beside this interpreter: make test installs it (extra 'dev'), or name it in UNDERTOW_PRE_COMMIT"
        )
    return program
