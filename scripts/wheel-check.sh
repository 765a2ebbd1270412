#!/bin/sh
# Proves that what is shipped works without the checkout: builds the source archive and from it the
# wheel, installs the wheel into a fresh environment elsewhere, and solves an example with it there.
set -eu

example=${1:?usage: wheel-check.sh EXAMPLE_FOLDER}
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

.venv/bin/python -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || {
    tail -n 20 "$work/build.log" >&2
    exit 1
}
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    -c requirements.lock "$work"/dist/*.whl
cp -R "$example" "$work/task"
cd "$work"
MLEAGENT_HOME="$work/home" "$work/venv/bin/mleagent" solve task \
    --model playbook --headless --json --steps 2 --seed 0 >"$work/events.jsonl" || {
    tail -n 3 "$work/events.jsonl" >&2
    echo "wheel-check: solve from the installed wheel failed" >&2
    exit 1
}
"$work/venv/bin/python" - "$work/events.jsonl" "$root" <<'PY'
import json, pathlib, sys
import mleagent
last = json.loads(pathlib.Path(sys.argv[1]).read_text().splitlines()[-1])
assert last["event"] == "session_end" and pathlib.Path(last["submission"]).is_file(), last
assert not pathlib.Path(mleagent.__file__).is_relative_to(sys.argv[2]), mleagent.__file__
print(f"wheel-check: solved from {pathlib.Path(mleagent.__file__).parent.name} {mleagent.__version__} as installed, "
      f"{last['metric']} {last['sealed']}")
PY
