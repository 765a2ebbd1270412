"""Start the runner: `python -I -S <this folder>`; with `--nsinit PLAN`, make its namespaces first."""

import importlib
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(here)
    if sys.argv[1:2] == ["--nsinit"]:
        sys.exit(importlib.import_module(f"{os.path.basename(here)}.nsinit").start(sys.argv[2:]))
    sys.exit(importlib.import_module(f"{os.path.basename(here)}.loop").main())
