"""llama.cpp's library, imported once, and what it says when something fails.

Used in the model process only. Its log goes to a short list whose end explains a failure.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from ..errors import UnavailableError

MISSING = "a .gguf model needs llama-cpp-python, which is not installed: pip install 'mleagent[local]'"
_WARNING = 3
_log: list[str] = []
_keep: list[Any] = []


def library() -> Any:
    """The low-level interface of llama_cpp. Raises UnavailableError where it is missing or won't load."""
    try:
        import llama_cpp.llama_cpp as lib
    except ImportError:
        raise UnavailableError(MISSING) from None
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise UnavailableError(f"llama-cpp-python can't be loaded ({said}); install it anew") from None
    if not _keep:

        @lib.llama_log_callback  # type: ignore[untyped-decorator]
        def note(level: int, text: bytes, _data: Any) -> None:
            if level > _WARNING and (said := text.decode("utf-8", "replace").strip()):
                _log.append(said)
                del _log[:-20]

        lib.llama_log_set(note, ctypes.c_void_p(0))
        lib.llama_backend_init()
        _keep.append(note)  # the library keeps the pointer only
    return lib


def last_words(otherwise: str = "llama.cpp refused") -> str:
    """The last error that llama.cpp logged, as one line; what only says that it failed is passed over."""
    lines = [line for line in _log if not line.endswith(": failed to load model")] or _log
    return " ".join(lines[-1].split()) if lines else otherwise


def cores() -> int:
    """Cores worth using: all of a small machine, half of one with many (hyper-)threads."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if count <= 4 else count // 2
