"""The command that compiles a llama.cpp which runs here: one place, so that no mend undoes another.

For any processor (without AMX, which some compilers get wrong), and with CUDA where an NVIDIA GPU is.
"""

from __future__ import annotations

import subprocess

PACKAGE = "llama-cpp-python>=0.3.36,<0.4"
"""As in pyproject.toml."""

_PORTABLE = "-DGGML_NATIVE=OFF"
"""Compiled so, llama.cpp still uses AVX2, FMA, F16C and BMI2: x86 processors that have them can run it, that
is Intel's from Haswell (2013) and AMD's from Excavator (2015) on, but no older ones, nor Intel's Pentium,
Celeron and Atom of many years after. On ARM it is the baseline of armv8."""
_CUDA = "-DGGML_CUDA=on"
_LIMIT_S = 10.0


def command(*, anew: bool = True) -> str:
    """A line for the shell: compile it anew, or (not `anew`) install it with what it needs."""
    flags = f"{_PORTABLE} {_CUDA}" if nvidia() else _PORTABLE
    how = "--force-reinstall --no-deps --no-cache-dir" if anew else "--no-cache-dir"
    return f"CMAKE_ARGS='{flags}' pip install {how} '{PACKAGE}'"


def nvidia() -> bool:
    """Whether an NVIDIA GPU is here, as `nvidia-smi` says."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "-L"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return b"GPU" in said
