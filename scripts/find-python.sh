#!/bin/sh
# Prints the command of a Python that mleagent runs on (3.11 or newer), or says in one line what
# to install. PYTHON names one to use instead.
set -eu

for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$name"
        exit 0
    fi
done
echo "mleagent needs Python 3.11 or newer, and none of ${PYTHON:-python3.13 python3.12 python3.11 python3} is;" \
     "install one (apt-get install python3 python3-venv, or brew install python) or set PYTHON=/path/to/it" >&2
exit 1
