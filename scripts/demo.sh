#!/bin/sh
# The main job on a bundled example, with nothing to configure: the default model (mleagent-nano, or
# MODEL=playbook, which needs no compiler) solves it in whatever sandbox this machine has. Data and
# logs stay in .demo/ of this checkout.
set -eu

example=${1:?usage: demo.sh EXAMPLE_FOLDER}
MODEL=${MODEL:-auto}
MLEAGENT_HOME=${MLEAGENT_HOME:-$(pwd)/.demo}
export MLEAGENT_HOME
if [ "$MODEL" = auto ] && ! .venv/bin/python -c "import llama_cpp" 2>/dev/null; then
    echo "demo: the default model runs in llama.cpp, which is compiled once (some minutes; MODEL=playbook"
    echo "demo: make demo does without)"
    EXTRAS=local sh scripts/setup.sh || echo "demo: llama.cpp could not be compiled; the playbook works instead"
fi
echo "mleagent solve $example --model $MODEL --steps 5 --seed 0"
exec .venv/bin/mleagent solve "$example" --model "$MODEL" --headless --steps 5 --seed 0
