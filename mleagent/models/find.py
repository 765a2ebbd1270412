"""GGUF files that lie on this machine already: in the ledger, our own folder, other programs' usual ones.

A bounded search: a few known folders, not deep, some thousand names, so that it takes no time a person
notices. Files are checked by their heads; what is no chat model is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..policy.gguf_check import GgufHead, check_gguf
from .ledger import Ledger

_DEPTH = 6
_NAMES = 4000
_HEADS = 24
"""Most files whose head is read: a large vocabulary takes some hundredths of a second."""
_LEAST_BYTES = 100_000


def places(home: Path) -> list[Path]:
    """Folders in which this user's models may lie: ours, Hugging Face's, llama.cpp's, LM Studio's."""
    user = Path.home()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or user / ".cache")
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub"
    llama = os.environ.get("LLAMA_CACHE") or cache / "llama.cpp"
    found = [home / "models", Path(hub), Path(llama), user / "Library" / "Caches" / "llama.cpp"]
    return [*found, user / ".lmstudio" / "models", cache / "lm-studio" / "models"]


def found(ledger: Ledger) -> list[tuple[str, GgufHead]]:
    """Chat models that lie here: what `--model` takes (a name of the ledger, else the path), and its head."""
    known = {base.files.path: base.name for base in ledger.bases() if base.kind == "gguf" and base.files}
    heads: dict[Path, tuple[str, GgufHead]] = {}
    paths = [Path(path) for path in known]
    for path in [*paths, *(file for place in places(ledger.home) for file in _gguf_files(place))]:
        if len(heads) >= _HEADS:
            break
        try:
            same = path.resolve()
            if same in heads or path.stat().st_size < _LEAST_BYTES:
                continue
            head = check_gguf(path)
        except (InputError, OSError):
            continue
        if head.chat_template:
            heads[same] = (known.get(str(path), str(path)), head)
    return list(heads.values())


def _gguf_files(place: Path) -> Iterator[Path]:
    """Model files under a folder, of split ones the first part; links to files are followed."""
    left = _NAMES
    for folder, folders, names in os.walk(place):
        depth = len(Path(folder).relative_to(place).parts)
        folders[:] = sorted(folders) if depth < _DEPTH else []
        for name in sorted(names):
            left -= 1
            if left < 0:
                return
            low = name.lower()
            first = "-of-" not in low or "-00001-of-" in low
            if low.endswith(".gguf") and first and not low.startswith("mmproj"):
                yield Path(folder) / name
