"""What a training run needs before anything is loaded: memory in bytes, time in seconds.

Takes the base's GGUF head and the data's sizes; gives a `Fit`. The memory is counted tensor by tensor for
the longest sequence; where it does not fit, layers are computed twice instead of kept (gradient
checkpointing). The time comes from the arithmetic to do and a short measurement of this machine's speed; the
progress line of the run replaces it by what was measured there.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from mleagent.errors import UnavailableError

from .gguf_lora import BaseHead
from .sft_tokens import Sequences

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Layers that get LoRA: all of attention and MLP, as Qwen2, Qwen3 and Llama call them."""
_IN_GGUF = re.compile(r"blk\.\d+\.(attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down)\.weight")
_EFFICIENCY = 0.55
"""Share of a plain matrix product's speed that training reaches, on the models measured."""
_MMAP_THRESHOLD = -3
"""glibc's M_MMAP_THRESHOLD."""
_SPARE = 0.6e9
"""Bytes of the libraries themselves."""


@dataclass(frozen=True)
class Fit:
    """What a run needs on this machine."""

    device: str
    """`cuda` or `cpu`."""
    need: float
    """Bytes at the peak."""
    free: float
    recompute: bool
    """Whether layers are computed twice to save memory."""
    flops: float
    """Arithmetic of the whole run."""
    adapter: int
    """Weights that are trained."""

    @property
    def words(self) -> str:
        """For people."""
        twice = ", computing layers twice to save memory" if self.recompute else ""
        where = "the GPU" if self.device == "cuda" else "this machine"
        return f"about {self.need / 1e9:.1f} GB of the {self.free / 1e9:.1f} GB free on {where}{twice}"

    def seconds(self) -> float:
        """How long the run takes, roughly: measures this machine for a quarter of a second."""
        return self.flops / (_EFFICIENCY * _speed(self.device))


def fit(base: Path, data: Sequences, rank: int, epochs: float, where: tuple[str, float] | None = None) -> Fit:
    """`where` is a device and the bytes free there; the best one found if None.

    Raises UnavailableError when even the sparing way does not fit.
    """
    head = BaseHead(base)
    linear = {name: shape for name, shape in head.shapes.items() if _IN_GGUF.fullmatch(name)}
    vocabulary, width = head.shapes["token_embd.weight"]
    weights = sum(a * b for a, b in linear.values())
    everything = sum(int(_product(shape)) for shape in head.shapes.values())
    adapter = rank * sum(a + b for a, b in linear.values())
    device, free = where or place()
    size = 2 if device == "cuda" else 4
    layer = sum(a for a, _ in linear.values()) / head.layers + 6 * width
    longest = max((len(one.ids) for one in data.found), default=0)
    learnt = max((one.learnt for one in data.found), default=0)
    fixed = everything * size + 16 * adapter + 3 * 4 * learnt * vocabulary + _SPARE
    loading = everything * (4 + size) + _SPARE  # each tensor as it is read, beside the model it goes into
    needs = [
        max(loading, fixed + longest * kept * 4)
        for kept in (2.3 * layer * head.layers, width * head.layers + 2 * layer)
    ]
    attention = head.layers * width * sum(len(one.ids) ** 2 for one in data.found) * 4
    forward = 2 * (weights * data.tokens + vocabulary * width * data.learnt) + attention
    for recompute, need in enumerate(needs):
        if need <= free:
            # backwards costs as much again: the frozen weights need no gradients of their own
            flops = epochs * forward * (3 if recompute else 2)
            return Fit(device, need, free, bool(recompute), flops, adapter)
    raise UnavailableError(
        f"{base.name} needs about {needs[-1] / 1e9:.1f} GB to be trained on sequences of {longest} tokens, "
        f"{free / 1e9:.1f} GB are free; take a smaller base or a smaller --max-tokens"
    )


def place() -> tuple[str, float]:
    """Where training runs, and the bytes free there."""
    import torch

    if torch.cuda.is_available():
        return "cuda", float(torch.cuda.mem_get_info()[0])
    return "cpu", free_memory()


def free_memory() -> float:
    """Bytes this process may still take: of the machine, or of its container if that is less."""
    free = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
        free = float(found[1]) * 1024 if found else free
    for folder, limit, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        free = min(free, of_container(Path(folder), limit, used))
    return free


def of_container(folder: Path, limit: str, used: str) -> float:
    """Bytes left under a memory cgroup's limit, files it only caches counted as free; inf without one."""
    texts = [
        (folder / name).read_text(encoding="ascii") if (folder / name).exists() else ""
        for name in (limit, used, "memory.stat")
    ]
    if not (texts[0].strip().isdigit() and texts[1].strip().isdigit()):
        return math.inf
    cached = re.findall(r"^(?:in)?active_file (\d+)$", texts[2], re.MULTILINE)
    return float(int(texts[0]) - int(texts[1]) + sum(map(int, cached)))


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _speed(device: str) -> float:
    """Floating-point operations a second of matrix products in float32 (bfloat16 on a GPU)."""
    import torch

    kind = torch.bfloat16 if device == "cuda" else torch.float32
    a = torch.ones(512, 512, dtype=kind, device=device)
    (a @ a).sum().item()
    started, done = time.monotonic(), 0
    while time.monotonic() - started < 0.25:
        a = (a @ a) / 512
        a.sum().item()
        done += 1
    return float(done) * 2 * 512**3 / (time.monotonic() - started)


def give_memory_back() -> None:
    """Make glibc return freed tensors of a megabyte and more to the system at once (nothing elsewhere).

    Its heap keeps them else, in pieces: recomputing layers saved half of what it should (measured on 8 and 24
    layers of 512: 1.3 and 2.3 GB, with this 0.7 and 1.2), for a tenth more time.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, 1 << 20)


def use_threads(count: int) -> None:
    """So many threads for torch's arithmetic, instead of one a core."""
    import torch

    torch.set_num_threads(count)
