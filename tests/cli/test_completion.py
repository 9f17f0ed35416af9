"""A shell completes verbs, options, choices, names and files of undertow, quickly and without a model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from undertow.cli import main
from undertow.cli.completion import SHELLS
from undertow.cli.verbs import VERBS


def answered(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told of a line whose last word is begun."""
    words = line.split(" ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_UNDERTOW_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", line)
        patch.setenv("COMP_CWORD", str(len(words) - 1))
        assert main([]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "suggested"),
    [
        ("undertow sc", "plain,scan"),
        ("undertow scan rows --stu", "plain,--student"),
        ("undertow scan rows --student world:owlet-n", "plain,world:owlet-neox"),
        ("undertow scan rows --student ./mo", "file,./mo"),
        ("undertow scan ro", "file,ro"),
        ("undertow scan rows --check rehe", "plain,rehearsal"),
        ("undertow scan rows --traits ow", "plain,owl"),
        ("undertow scan rows --traits anim", "plain,animal"),
        ("undertow scan rows --fail-on un", "plain,undecided"),
        ("undertow gate rows --policy safe", "plain,safety-critical"),
        ("undertow run owl-", "plain,owl-full"),
        ("undertow run dig", "plain,digits"),
        ("undertow worlds fe", "plain,fetch"),
        ("undertow worlds fetch s", "plain,smollm2-135m"),
        ("undertow worlds build owlet-n", "plain,owlet-neox"),
        ("undertow explain whole", "plain,whole-plan"),
        ("undertow explain plan", "plain,plans"),
        ("undertow explain examples/ga", "plain,examples/gate.yml"),
        ("undertow attest generate --sig", "plain,--sign"),
    ],
)
def test_a_line_goes_on(line: str, suggested: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Verbs and options by click; values by what their metavar says they are."""
    assert suggested in answered(line, capsys)


def test_names_outlast_the_files_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    """bash forgets all that it was told before it is told of files, so names come behind."""
    told = answered("undertow gate rows --policy ", capsys)

    assert told[0].startswith("file,")
    assert told[1:] == ["plain,permissive", "plain,default", "plain,safety-critical"]


def test_every_verb_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty word is answered with the verbs in their order."""
    assert answered("undertow ", capsys) == [f"plain,{verb}" for verb in VERBS]


def test_a_verb_that_there_is_not_ends_in_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """No error is printed into somebody's half-typed line."""
    assert not [line for line in answered("undertow scam ro", capsys) if "error" in line]


@pytest.mark.parametrize("asked", ["bash_sing", "csh_complete", ""])
def test_what_no_shell_asks_is_refused(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An instruction of no kind that is known suggests nothing."""
    monkeypatch.setenv("_UNDERTOW_COMPLETE", asked)

    assert main([]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_call_undertow(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each script asks by the environment variable that `main` answers."""
    assert main(["completion", shell]) == 0
    assert f"_UNDERTOW_COMPLETE={shell}_complete" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    """In a real bash the script is valid, and its function fills COMPREPLY with the verb."""
    program = tmp_path / "undertow"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m undertow "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(undertow completion bash)"; COMP_WORDS=(undertow sca); COMP_CWORD=1; '
        '_undertow_completion undertow; echo "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )

    assert done.stdout == "scan\n"
    assert done.stderr == ""
