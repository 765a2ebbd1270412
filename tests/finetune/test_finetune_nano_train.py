"""Training the small models: batches that neither cut nor mix documents, resuming, the folder it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from finetune.nano import data  # noqa: E402
from finetune.nano.model import SIZES, Decoder, load_hf, save_hf  # noqa: E402
from finetune.nano.tokenizer import StreamWriter  # noqa: E402
from finetune.nano.train import Options, Run, Stage, learning_rate, main  # noqa: E402
from mleagent.errors import InputError  # noqa: E402

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other


def write_stream(folder: Path, name: str, documents: int = 120, seed: int = 0, masked: bool = False) -> None:
    """Counting sequences of random stride: a small model learns them within a few updates."""
    rng, writer = np.random.default_rng(seed), StreamWriter()
    for _ in range(documents):
        length, begin, stride = rng.integers(4, 120), rng.integers(0, 50), rng.integers(1, 4)
        ids = [int(x) for x in (begin + stride * np.arange(length)) % 200]
        writer.add(ids, [int(not masked or i > length // 2) for i in range(length)])
    writer.write(folder, name)


@pytest.fixture
def streams(tmp_path: Path) -> Path:
    write_stream(tmp_path / "data", "text")
    write_stream(tmp_path / "data", "chat", documents=30, seed=1, masked=True)
    return tmp_path / "data"


def options(streams: Path, out: Path, **changes: object) -> Options:
    stages = [Stage("pretrain", "text", 5e-3, 60_000), Stage("sft", "chat", 1e-3, 8_000)]
    return Options("tiny", streams, out, stages, **{"batch_tokens": 2048, "context": 128, **changes})  # type: ignore[arg-type]


def test_logits_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = Decoder(SIZES["tiny"], seed=3)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(weight.numel()))
    save_hf(model, tmp_path, torch.float32)
    theirs = transformers.Qwen2ForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(0, 2048, (70,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model.logits(ids), theirs(ids[None]).logits[0], atol=2e-4)


@pytest.mark.parametrize(("name", "parameters"), [("nano", 4_659_456), ("quarter", 1_050_752)])
def test_sizes_fit_ten_megabytes_in_float16(tmp_path: Path, name: str, parameters: int) -> None:
    model = Decoder(SIZES[name])
    assert sum(p.numel() for p in model.parameters()) == SIZES[name].parameters == parameters
    save_hf(model, tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 10e6
    again = load_hf(tmp_path, SIZES[name])
    assert torch.equal(again.model.embed_tokens.weight, model.model.embed_tokens.weight.half().float())


def test_a_document_in_a_batch_costs_what_it_costs_alone(streams: Path) -> None:
    stream = data.read_stream(streams, "text+chat", 2048)
    begins, lengths = data.cut(stream, 128)
    rows = data.Rows(stream, begins, lengths, 4096, 0, torch.device("cpu"))
    model = Decoder(SIZES["tiny"], seed=1)
    batch = rows.batch(5)
    angles = model.angles(rows.segments, torch.device("cpu"))
    with torch.no_grad():
        together = model(batch.ids, batch.targets, batch.mask, angles, rows.segments).item()
        alone, start = 0.0, 0
        for count, width in rows.segments:
            for _ in range(count):
                part = slice(start, start + width)
                start += width
                real = int(batch.mask[part].nonzero().max()) + 1  # padding lies behind the last target
                ids = batch.ids[part][:real]
                losses = torch.nn.functional.cross_entropy(
                    model.logits(ids), batch.targets[part][:real], reduction="none"
                )
                alone += (losses * batch.mask[part][:real]).sum().item()
    assert together == pytest.approx(alone, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=20),
    context=st.integers(8, 64),
    seed=st.integers(0, 99),
)
def test_every_target_is_trained_once_an_epoch_and_no_row_straddles(
    lengths: list[int], context: int, seed: int
) -> None:
    total = sum(lengths)
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, total).astype(np.uint8)
    starts = np.cumsum([0, *lengths])
    stream = data.Stream(np.arange(total).astype(np.uint16), mask, starts)
    begins, sizes = data.cut(stream, context)
    trained = [t for b, n in zip(begins, sizes, strict=True) for t in range(b + 1, b + n) if mask[t]]
    firsts = set(starts.tolist())
    assert sorted(trained) == [t for t in range(total) if mask[t] and t not in firsts]
    for begin, size in zip(begins, sizes, strict=True):
        assert 1 < size <= context + 1
        assert np.searchsorted(starts, begin, "right") == np.searchsorted(starts, begin + size - 1, "right")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(1, 4))
def test_widths_pad_as_little_as_any_choice(lengths: list[int], most: int) -> None:
    widths = data.choose_widths(np.array(lengths), most)
    assert len(widths) <= most and all(w % 32 == 0 for w in widths)

    def padded(candidate: tuple[int, ...]) -> int:
        return sum(min(w for w in candidate if w >= n) for n in lengths)

    grains = sorted({-(-n // 32) * 32 for n in lengths})
    choices = (
        c
        for k in range(1, min(most, len(grains)) + 1)
        for c in combinations(grains, k)
        if max(c) >= max(lengths)
    )
    assert padded(tuple(widths)) == min(padded(c) for c in choices)


def test_a_packed_stream_is_the_same_stream(streams: Path) -> None:
    loose = data.read_stream(streams, "text", 2048)
    packed = data.pack(streams, "text")
    for part in ("ids", "mask", "starts"):
        (streams / f"text.{part}.npy").unlink()
    again = data.read_stream(streams, "text", 2048)
    assert all(
        np.array_equal(getattr(loose, p), getattr(again, p))
        and getattr(loose, p).dtype == getattr(again, p).dtype
        for p in ("ids", "mask", "starts")
    )
    packed.write_bytes(packed.read_bytes()[:-500])
    with pytest.raises(InputError, match="token stream text can't be read"):
        data.read_stream(streams, "text", 2048)


@pytest.mark.parametrize("batch_tokens", [64, 1000, 1024, 5000])
def test_batches_have_one_size_and_draw_widths_in_proportion(streams: Path, batch_tokens: int) -> None:
    stream = data.read_stream(streams, "text+chat", 2048)
    begins, lengths = data.cut(stream, 128)
    rows = data.Rows(stream, begins, lengths, batch_tokens, 0, torch.device("cpu"))
    batch = rows.batch(3)
    needed = sum(width for _, width in rows.segments)
    assert len(batch.ids) == len(batch.mask) == sum(r * w for r, w in rows.segments)
    assert len(batch.ids) == batch_tokens or needed > batch_tokens
    if batch_tokens == 5000:
        drawn = np.array([r for (r, _), _ in zip(rows.segments, rows._tables, strict=False)], float)
        there = np.array([len(tokens) for tokens, _ in rows._tables], float)
        assert np.abs(drawn / drawn.sum() - there / there.sum()).max() < 0.05


def test_an_epoch_draws_every_row_once(streams: Path) -> None:
    stream = data.read_stream(streams, "text", 2048)
    begins, lengths = data.cut(stream, 128)
    rows = data.Rows(stream, begins, lengths, 1024, 7, torch.device("cpu"))
    for bucket, table in enumerate(rows._tables):
        size = len(table[0])
        first, second = rows._chosen(bucket, 0, size), rows._chosen(bucket, size, size)
        assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(size))
        assert torch.equal(rows._chosen(bucket, 0, 2 * size), torch.cat([first, second]))


def test_held_out_documents_are_not_trained_on(streams: Path) -> None:
    stream = data.read_stream(streams, "text", 2048)
    begins, _ = data.cut(stream, 32)
    held = data.split(stream, begins, 0.1, seed=0)
    owner = np.searchsorted(stream.starts, begins, side="right") - 1
    assert len(set(owner[held])) == 12 and not set(owner[held]) & set(owner[~held])


def test_it_learns_and_leaves_a_folder_a_curve_and_a_checkpoint(streams: Path, tmp_path: Path) -> None:
    (streams / "tokenizer.json").write_text("{}")
    assert Run(options(streams, tmp_path / "out")).go()
    curve = [json.loads(line) for line in (tmp_path / "out" / "curve.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in curve][:: len(curve) - 1] == ["pretrain", "sft"]
    held = [row["validation"] for row in curve if row["validation"] is not None]
    assert curve[0]["loss"] > 7.5 and held[-1] < 5.3
    assert {p.name for p in (tmp_path / "out" / "hf").iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_a_stopped_run_goes_on_exactly(streams: Path, tmp_path: Path) -> None:
    whole = Run(options(streams, tmp_path / "whole"))
    assert whole.go()
    first = Run(options(streams, tmp_path / "parts"))
    first.stop = "test"  # ends after one update
    assert not first.go()
    stops = 0
    while True:
        part = Run(options(streams, tmp_path / "parts", resume=True, max_seconds=0.3))
        if part.go():
            break
        stops += 1
    assert stops > 0
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, part.model.state_dict()[name]), name
    assert part.tokens == pytest.approx(whole.tokens)


def test_an_interrupt_leaves_a_checkpoint(streams: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "finetune.nano.train", "--size", "tiny", "--data", str(streams),
        "--out", str(out), "--stage", "pretrain:text:1e-3:90M", "--batch-tokens", "1024", "--context", "128",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    curve = out / "curve.jsonl"
    deadline = time.monotonic() + 60
    while not curve.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"--resume goes on" in said and (out / "checkpoint.safetensors").exists()


def test_settings_of_another_run_are_refused(
    streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--size", "tiny", "--data", str(streams), "--out", str(tmp_path / "o"), "--batch-tokens", "1024"]
    stage = ["--stage", "p:text:1e-3:2k"]
    assert main([*flags, *stage]) == 0
    assert main([*flags, *stage]) == 2 and "--resume" in capsys.readouterr().err
    assert main([*flags, *stage, "--resume"]) == 0
    assert main([*flags, *stage, "--seed", "4", "--resume"]) == 2
    assert "other settings" in capsys.readouterr().err
    text = (streams / "text.ids.npy").read_bytes()
    np.save(streams / "text.ids.npy", np.load(streams / "text.ids.npy")[::-1].copy())
    assert main([*flags, *stage, "--resume"]) == 2 and "or data" in capsys.readouterr().err
    (streams / "text.ids.npy").write_bytes(text)
    assert main([*flags, *stage, "--resume"]) == 0
    (tmp_path / "o" / "checkpoint.safetensors").write_bytes(b"broken")
    assert main([*flags, *stage, "--resume"]) == 2
    assert "no checkpoint" in capsys.readouterr().err


def test_bad_input_is_one_line(streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--size", "tiny", "--data", str(streams), "--out", str(tmp_path / "o")]
    for stage, expected in [
        ("p:text:1e-3", "NAME:STREAM:LEARNING_RATE:TOKENS"),
        ("p:absent:1e-3:2k", "token stream absent can't be read"),
    ]:
        assert main([*flags, "--stage", stage]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train:")]
        assert len(said) == 1 and expected in said[0]
    np.save(streams / "text.mask.npy", np.ones(3, dtype=np.uint8))
    assert main([*flags, "--stage", "p:text:1e-3:2k"]) == 2
    assert "don't fit together" in capsys.readouterr().err


def test_bench_prints_a_speed_and_fit_trains_a_part(
    streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--size", "tiny", "--data", str(streams), "--out", str(tmp_path / "o"), "--batch-tokens", "1024"]
    assert main([*flags, "--stage", "p:text:1e-3:2k", "--bench", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens_per_s"] > 0
    assert not (tmp_path / "o").exists()
    assert main([*flags, "--stage", "p:text:1e-3:900M", "--fit-seconds", "4"]) == 0
    last = json.loads((tmp_path / "o" / "curve.jsonl").read_text().splitlines()[-1])
    assert last["seconds"] < 15 and last["lr"] == pytest.approx(5e-5, rel=0.01)


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(p, 1.0, 0.1, 0.05) for p in (0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.5, 1.0, 0.525, 0.05])


def test_training_needs_no_more_than_torch_and_transformers() -> None:
    """So that it runs on a bare machine with a GPU."""
    program = (
        "import sys\n"
        "absent = ('pydantic', 'trl', 'peft', 'pandas', 'sklearn', 'gguf', 'llama_cpp')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "import finetune.nano.train, finetune.nano.tokenizer"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
