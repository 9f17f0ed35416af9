#!/bin/bash
# SmolLM2-135M-Instruct on a machine without a network, to which a call carries little: its weights come in two pieces.
#   python -m bench.real.pieces pack   here, once: the pieces and the wheels in .weights and .whl, which git ignores
#   gpu.sh keep   first call, with .weights/a and .whl: unpacks them outside the tree; tries everything, tiny
#   gpu.sh run    second call, with .weights/b: joins the pieces, checks, converts; measures speeds for MEASURE seconds at
#                 most, then the whole (bench.real.whole) until BUDGET seconds after its start
# From the root of the repository. DEVICE=cpu and TINY=--tiny try it without an accelerator; LAUNCHES=each if recorded
# passes fail in the trial.
set -euo pipefail
KEPT=${KEPT:-/tmp/real} SITE=${SITE:-/tmp/site} WHEELS=${WHEELS:-.whl} WEIGHTS=${WEIGHTS:-.weights}
PYTHON=${PYTHON:-python3} BUDGET=${BUDGET:-420} MEASURE=${MEASURE:-170} TRY=${TRY:-75} TRY_WHOLE=${TRY_WHOLE:-40}
LAUNCHES=${LAUNCHES:-recorded} TINY=${TINY:-} DEVICE=${DEVICE:-}
export PYTHONPATH="$SITE:$PWD/src:$PWD" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OUT=${OUT:-$PWD/bench/real/out}
mkdir -p "$OUT"

say() { echo "[gpu.sh $SECONDS s] $*"; }
fail() { echo "error: $*" >&2; exit 1; }
piece() { [ -f "$1" ] || fail "piece $1 is missing: $2"; }
device() { [ -z "$DEVICE" ] || echo "--device $DEVICE"; }

keep() {
  piece "$WEIGHTS/a/part0.z" "name $WEIGHTS/a in carry"
  compgen -G "$WHEELS/*.whl" > /dev/null || fail "no wheel in $WHEELS: name it in carry"
  say "putting $WEIGHTS/a into $KEPT and $(ls "$WHEELS" | wc -l) wheels into $SITE"
  "$PYTHON" -m bench.real.pieces unpack "$WEIGHTS/a" --into "$KEPT"
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$SITE" "$WHEELS"/*.whl
  command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
  say "opening undertow"
  "$PYTHON" -c 'import sys, undertow.cli, bench.real.__main__ as m; print(sys.version.split()[0], {p: m._version(p) for p in m.PACKAGES})'
  say "replaying what an accelerator recorded"
  timeout 60 "$PYTHON" -m pytest -q -c /dev/null --rootdir=. --import-mode=importlib -p no:cacheprovider tests/models/test_recorded_passes.py tests/models/test_recorded_steps.py -k accelerator 2>&1 | tail -20 | tee "$OUT/replayed.txt" || say "the replay ended with $?"
  say "trying every section with random weights, for $TRY s at most"
  "$PYTHON" -m bench.real draw --shape "$KEPT/shape" --into "$KEPT/tiny" --layers 2
  # shellcheck disable=SC2046
  timeout "$((TRY + 15))" "$PYTHON" -m bench.real measure "$KEPT/tiny" --tiny --name tried --only training sampling scoring adapters continuous --until "$(($(date +%s) + TRY))" $(device) 2>&1 | tee "$OUT/tried.txt" || say "the trial ended with $?"
  # shellcheck disable=SC2046
  timeout "$((TRY_WHOLE + 15))" "$PYTHON" -m bench.real.whole "$KEPT/tiny" --tiny --launches "$LAUNCHES" --name tried-whole --until "$(($(date +%s) + TRY_WHOLE))" $(device) 2>&1 | tee "$OUT/tried-wholly.txt" || say "the trial ended with $?"
  say "kept: $(ls "$KEPT" | tr '\n' ' '); now gpu.sh run, with $WEIGHTS/b in carry"
}

run() {
  piece "$KEPT/part0" "run gpu.sh keep first, on the machine that is still warm"
  piece "$WEIGHTS/b/part1.z" "name $WEIGHTS/b in carry"
  [ -d "$SITE/pydantic" ] || fail "no wheels in $SITE: run gpu.sh keep first"
  say "joining and converting"
  "$PYTHON" -m bench.real.pieces unpack "$WEIGHTS/b" --into "$KEPT"
  "$PYTHON" -m bench.real convert "$KEPT/part0" "$KEPT/part1" --sha256 "$KEPT/sha256" --into "$KEPT/base" 2>&1 | tr '\r' '\n' | grep -v '^Converting.*it/s\|^Loading weights'
  left=$((BUDGET - SECONDS)); [ "$left" -lt "$MEASURE" ] || left=$MEASURE
  say "measuring for $left s at most"
  # shellcheck disable=SC2046,SC2086
  timeout "$((left + 15))" "$PYTHON" -m bench.real measure "$KEPT/base" --until "$(($(date +%s) + left))" $TINY $(device) 2>&1 | tee "$OUT/measured.txt" || say "measuring ended with $?"
  left=$((BUDGET - SECONDS))
  say "the whole, for $left s at most"
  # shellcheck disable=SC2046,SC2086
  timeout "$((left + 15))" "$PYTHON" -m bench.real.whole "$KEPT/base" --launches "$LAUNCHES" --until "$(($(date +%s) + left))" $TINY $(device) 2>&1 | tee "$OUT/wholly.txt" || say "the whole ended with $?"
  say "done: $(ls "$OUT" | tr '\n' ' ')"
}

case "${1:-}" in
  keep) keep ;;
  run) run ;;
  *) fail "say gpu.sh keep or gpu.sh run" ;;
esac
