"""
The product on SmolLM2-135M-Instruct, on one accelerator or, to try it, a CPU: `python -m bench.real measure FOLDER`.

    convert PIECE... --sha256 FILE --into FOLDER    joined, checked, and a folder that undertow opens
    draw --shape SHAPE --into FOLDER                the same with random weights
    measure FOLDER                                  real.json in $OUT, else in bench/real/out

`bench/real/gpu.sh` types them in turn.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.real import weights
from bench.real.number_rows import TINY, Setting, Sizes
from bench.real.operations import FORMULA, PEAK, matmul_rate
from bench.real.record import Record, Values
from bench.real.sampling import continuous, sampling
from bench.real.scanned import scan
from bench.real.scoring import scoring
from bench.real.training import adapters, training

OUT = Path(__file__).parent / "out"
PACKAGES = ("torch", "transformers", "peft", "numpy", "tokenizers", "safetensors", "pydantic")

SECTIONS: dict[str, tuple[Callable[[Setting, Record], None], float]] = {
    "training": (training, 60),
    "sampling": (sampling, 60),
    "adapters": (adapters, 60),
    "scoring": (scoring, 60),
    "scan": (scan, 100),
    "continuous": (continuous, 40),
}
"""What measures each section, and its share of the budget in seconds; what one leaves over goes to those behind it."""


def main(arguments: list[str]) -> int:
    """Do what was asked; a missing piece ends it with one line."""
    given = _parser().parse_args(arguments)
    try:
        result: int = given.act(given)
    except weights.WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=__doc__)
    acts = parser.add_subparsers(required=True)
    convert = acts.add_parser("convert")
    convert.add_argument("pieces", nargs="+", type=Path)
    convert.add_argument("--sha256", type=Path, required=True)
    draw = acts.add_parser("draw")
    draw.add_argument("--layers", type=int)
    draw.add_argument("--shape", type=Path, required=True)
    for made, act in ((convert, _convert), (draw, _draw)):
        made.add_argument("--into", type=Path, required=True)
        made.set_defaults(act=act)
    measure = acts.add_parser("measure")
    measure.add_argument("folder", type=Path)
    measure.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    measure.add_argument("--tiny", action="store_true")
    measure.add_argument(
        "--until", type=float, help="seconds since 1970; 420 from now if not given"
    )
    measure.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    measure.add_argument("--name", default="real", help="of the file of results")
    measure.set_defaults(act=_measure)
    return parser


def _convert(given: argparse.Namespace) -> int:
    if not given.sha256.is_file():
        raise weights.WeightsError(f"{given.sha256} is missing; run `gpu.sh keep` first")
    expected = given.sha256.read_text(encoding="utf-8").split()[0]
    given.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        whole = weights.join(given.pieces, expected, Path(folder) / weights.NAME)
        print(f"joined: {whole.stat().st_size:,} bytes of SHA-256 {expected}", flush=True)
        print(f"converted: {weights.converted(whole, given.into)}")
    return 0


def _draw(given: argparse.Namespace) -> int:
    print(f"drawn: {weights.drawn(given.shape, given.into, layers=given.layers)}")
    return 0


def _measure(given: argparse.Namespace) -> int:
    began = time.monotonic()
    # transformers and peft warn of what nobody here chose, once a case.
    warnings.simplefilter("ignore")
    setting = Setting(given.folder, torch.device(given.device), TINY if given.tiny else Sizes())
    path = Path(os.environ.get("OUT") or OUT) / f"{given.name}.json"
    # Given as a time of day, so that what opening the libraries takes is counted.
    budget = 420.0 if given.until is None else given.until - time.time()
    record = Record(path, began, budget, _about(setting))
    record.section("machine", functools.partial(_machine, setting), 25)
    for name in given.only:
        measure, share = SECTIONS[name]
        record.section(name, functools.partial(measure, setting), share)
    failed = [case for case in record.cases if case.error]
    skipped = [case for case in record.cases if case.skipped]
    record.say(f"{len(record.cases)} cases, {len(failed)} failed, {len(skipped)} skipped: {path}")
    for case in failed:
        record.say(f"failed: {case.section}: {case.name}: {case.error}")
    sys.stdout.flush()
    # A thread of continuous batching that was stopped halfway would keep the process alive.
    os._exit(0)


def _machine(setting: Setting, record: Record) -> None:
    record.case("matrix products", lambda: _products(setting))
    record.case("opening the model", lambda: _opening(setting))


def _products(setting: Setting) -> Values:
    cuda = setting.device.type == "cuda"
    size = 8192 if cuda else 256
    values = {
        f"{name}_tflops": matmul_rate(setting.device, dtype, size) / 1e12
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    return values | {"size": size}


def _opening(setting: Setting) -> Values:
    """Seconds of opening the folder in each precision for the first time."""
    values = {}
    for precision in ("float32", "bfloat16"):
        started = time.perf_counter()
        model = setting.opened(precision)
        values[f"{precision}_seconds"] = time.perf_counter() - started
        values["parameters"] = float(model.network.num_parameters())
    return values


def _about(setting: Setting) -> Values:
    cuda = setting.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(setting.device) if cuda else platform.processor(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "folder": setting.folder.name,
        "sizes": vars(setting.sizes),
        "operations": FORMULA,
        "peak_tflops": PEAK / 1e12,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
