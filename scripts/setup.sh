#!/bin/sh
# Makes the virtual environment .venv and installs mleagent in it, editable, with what the tests
# need, at the versions of requirements.lock. `make setup` calls it when either file changed.
# EXTRAS adds others, e.g. EXTRAS=dev,local,learn for llama.cpp in process (compiles for some
# minutes) and for torch; an index of torch's CPU builds named in PIP_EXTRA_INDEX_URL saves gigabytes.
set -eu

python=$(sh scripts/find-python.sh)
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear .venv || {
        echo "setup: $python can't make virtual environments; apt-get install python3-venv" >&2
        exit 1
    }
fi
# Only the library is wanted of llama.cpp.
off="-DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF"
off="$off -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAVA_BUILD=OFF"
off="$off '-DCMAKE_PROJECT_llama.cpp_INCLUDE=$(pwd)/scripts/llama-cpp.cmake'"
export CMAKE_ARGS="${CMAKE_ARGS-$off}"
echo "setup: installing into .venv (about a minute the first time)"
.venv/bin/python -m pip install -qq --disable-pip-version-check -e ".[${EXTRAS:-dev}]" -c requirements.lock
# A wheel in pip's cache may have been compiled for another processor, or with other options.
if ! .venv/bin/python -P -m mleagent.policy.llama_check; then
    echo "setup: compiling llama.cpp for this processor (some minutes)"
    .venv/bin/python -m pip cache remove -q llama_cpp_python 2>/dev/null || true
    .venv/bin/python -m pip install -qq --disable-pip-version-check --force-reinstall --no-deps \
        llama-cpp-python -c requirements.lock
    .venv/bin/python -P -m mleagent.policy.llama_check
fi
touch .venv/.set-up
