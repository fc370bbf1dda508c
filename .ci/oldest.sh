#!/usr/bin/env bash
# The oldest supported versions (`oldest.txt`), in a virtual environment of their own: the same bits, and the core's tests.
# PYTHON chooses the interpreter (python3); run from the tree's top.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PIP_CONSTRAINT
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install -q --disable-pip-version-check -r .ci/oldest.txt
for kernels in off always; do
  FPSIM_NUMBA=$kernels "$folder/bin/python" -m fpsim selftest
done
export FPSIM_NUMBA=off CI=1 MPLBACKEND=Agg
"$folder/bin/python" -m pytest -q -p no:cacheprovider -n "${OLDEST_WORKERS:-auto}" \
  tests/test_formats.py tests/rounding/test_{round,neighbours,codes,kernel,paired}.py tests/accumulate/test_orders.py \
  tests/autograd tests/optim tests/plots/test_comparison.py tests/test_bad_input.py tests/test_traps.py
