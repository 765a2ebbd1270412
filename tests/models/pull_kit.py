"""A pull as the command makes it, and what it left behind."""

from __future__ import annotations

from pathlib import Path

from mleagent.models.hub import Hub
from mleagent.models.pull import plan, run

REPO = "acme/tiny-GGUF"
PLENTY = 10**12


def pull(ledger, text=REPO, name="", progress=lambda *_: None, free=PLENTY):
    hub = Hub()
    try:
        return run(plan(hub, ledger, text, name), hub, ledger, progress, free)
    finally:
        hub.close()


def rest(home: Path) -> list[str]:
    """Everything under models/, by name."""
    return sorted(path.name for path in (home / "models").rglob("*") if path.is_file())
