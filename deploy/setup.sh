#!/usr/bin/env bash
# Makes the virtual environment $1 from the pinned list $2 and installs this project into it, editable.
set -euo pipefail
venv=$1 lock=$2

# vLLM's CPU build needs 3.11 or newer; the embedded Redis has wheels for 3.11 and 3.12 only.
fits() { "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3 python; do
    if fits "$candidate"; then echo "$candidate"; return; fi
  done
  echo "evalwindow needs Python 3.11 (or 3.12) with its venv module; none of ${PYTHON:+$PYTHON, }python3.11, python3.12, python3" \
    "on PATH is one. Install it, or say PYTHON=/path/to/python3.11." >&2
  return 1
}

if ! [ -x "$venv/bin/python" ]; then
  python=$(find_python)
  echo "making $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
echo "installing $(grep -c == "$lock") packages from $lock (one to three minutes the first time)"
export PYTHON=$venv/bin/python

# uv takes half of pip's time; where it can't reach what pip can, pip does it.
with_uv() {
  "$PYTHON" -m pip install --quiet "$(grep '^uv==' "$lock")" && bash deploy/uv.sh pip install --python "$PYTHON" --quiet --no-deps -r "$lock"
}
with_uv || "$PYTHON" -m pip install --quiet --no-compile --no-deps -r "$lock"
"$PYTHON" -m pip install --quiet --no-deps --no-build-isolation --editable .
