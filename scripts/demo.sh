#!/bin/sh
# The main job on a bundled example, with nothing to configure: the playbook (no model needed) solves
# it in whatever sandbox this machine has. Data and logs stay in .demo/ of this checkout.
set -eu

example=${1:?usage: demo.sh EXAMPLE_FOLDER}
MLEAGENT_HOME=${MLEAGENT_HOME:-$(pwd)/.demo}
export MLEAGENT_HOME
echo "mleagent solve $example --model playbook --steps 4 --seed 0"
exec .venv/bin/mleagent solve "$example" --model playbook --headless --steps 4 --seed 0
