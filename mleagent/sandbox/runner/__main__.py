"""Start the runner: `python -I -S <this folder>`; with `--nsinit PLAN`, make its namespaces first.

`python <this file> --zygote FD` is the warm interpreter. In its forks the program runs right
here, at the bottom, so that of this package no more than one frame stands below it.
"""

import importlib
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(here)
    if sys.argv[1:2] == ["--nsinit"]:
        sys.exit(importlib.import_module(f"{os.path.basename(here)}.nsinit").start(sys.argv[2:]))
    if sys.argv[1:2] != ["--zygote"]:
        sys.exit(importlib.import_module(f"{os.path.basename(here)}.loop").main())
    program = importlib.import_module(f"{os.path.basename(here)}.zygote").start(sys.argv[2:])
    if program is None:
        sys.exit(0)
    try:
        exec(program.code, program.globals)
    except BaseException as error:  # noqa: BLE001 - Python itself would print it
        program.failure = error
    program.finish()
