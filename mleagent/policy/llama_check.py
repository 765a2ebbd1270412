"""Whether the installed llama.cpp computes on this processor, with quantised weights too.

Compiled for another processor (a wheel from a cache), or for one with AMX by a compiler that it does
not suit, llama.cpp dies of an illegal instruction; often only at quantised weights, which nearly every
model that one downloads has. So the bundled model is quantised and asked, in a process of its own:
half a second. `python -m mleagent.policy.llama_check` says what is wrong, with exit code 1.
"""

from __future__ import annotations

import ctypes
import importlib.util
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from . import nano
from .llama_build import command

_ROOT = Path(__file__).resolve().parents[2]
_CHILD = "import sys; sys.path.append(sys.argv[1]); from mleagent.policy.llama_check import work; work()"
_TOKENS = 40
_LIMIT_S = 60.0


def fault() -> str:
    """What is wrong with llama.cpp here, with the mend; empty where it works or is not installed."""
    if importlib.util.find_spec("llama_cpp") is None or nano.missing():
        return ""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, str(_ROOT)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"llama.cpp did not compute {_TOKENS} tokens within {_LIMIT_S:.0f} s"
    return say(done.returncode, done.stderr.decode("utf-8", "replace"))


def say(code: int, said: str = "") -> str:
    """A line on how the process that tried it ended; empty for a good end."""
    if code == 0:
        return ""
    if code == -signal.SIGILL:
        return f"llama.cpp was compiled for another processor and crashes on this one; mend: {command()}"
    how = f"crashes ({signal.Signals(-code).name})" if code < 0 else "fails"
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    return f"llama.cpp {how} on a small model{': ' + last if last else ''}; mend: {command()}"


def work() -> None:
    """In a process of its own: quantise the bundled model, load it, evaluate some tokens."""
    from .llama_engine import LlamaEngine
    from .llama_library import library
    from .llama_wire import Load

    lib = library()
    with tempfile.TemporaryDirectory(prefix="mleagent-check-") as folder:
        small = Path(folder) / "q8_0.gguf"
        wish = lib.llama_model_quantize_default_params()
        wish.ftype = lib.LLAMA_FTYPE_MOSTLY_Q8_0
        if lib.llama_model_quantize(bytes(nano.path()), bytes(small), ctypes.byref(wish)):
            raise SystemExit("the bundled model can't be quantised")
        engine = LlamaEngine(
            Load(
                path=str(small), bytes=small.stat().st_size, n_ctx=256, n_threads=1, n_gpu_layers=0,
                n_batch=_TOKENS, k_max=1,
            )
        )  # fmt: skip
        engine.prefill([1 + number % 200 for number in range(_TOKENS)])
        if not (abs(engine.logits()) < 1e6).all():
            raise SystemExit("the logits are not numbers")


if __name__ == "__main__":
    wrong = fault()
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    raise SystemExit(int(bool(wrong)))
