"""What the tests of the ledger share: tiny real model files, and a hub that serves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_maker import make_gguf
from hub_server import Hub, serving

from mleagent.models import Ledger

REPO = "acme/tiny-GGUF"


@pytest.fixture
def ledger(home: Path) -> Ledger:
    return Ledger(home)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a GGUF of that name; other seeds are other weights."""

    def make(name: str = "tiny.gguf", **how) -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(exist_ok=True)
        return make_gguf(path, **how)

    return make


@pytest.fixture
def hub(model, monkeypatch):
    """A hub with one repository of two quantisations, that HF_ENDPOINT names."""
    first, second = model("a.gguf").read_bytes(), model("b.gguf", seed=1).read_bytes()
    files = {"README.md": b"# tiny", "tiny-q4_k_m.gguf": first, "tiny-q8_0.gguf": second}
    with serving(Hub(**{REPO.replace("/", "__"): files})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
