"""Verdicts, output cleaning and the wire format: the parts of a sandbox that need no sandbox."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.records import Limits
from mleagent.sandbox.output import Transcript, clean_line
from mleagent.sandbox.runner import frames
from mleagent.sandbox.verdict import RawRun, judge, missing_distribution

LIMITS = Limits(wall_s=5, memory_mb=100, disk_mb=10)

# --- verdicts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "output", "status", "code"),
    [
        ({"exit_code": 0}, "MemoryError\n", "ok", 0),
        ({"exit_code": 0, "oom": True}, "", "ok", 0),
        ({"exit_code": 3}, "", "error", 3),
        ({"exit_code": 139}, "", "error", 139),
        ({"exit_code": 137}, "", "killed", None),
        ({"exit_code": 137, "oom": True}, "", "oom", None),
        ({"exit_code": None, "timed_out": True}, "", "timeout", None),
        ({"exit_code": None, "stopped": True, "oom": True}, "", "killed", None),
        ({"exit_code": 1, "disk_full": True}, "ValueError: x", "disk", 1),
        ({"exit_code": 1}, "OSError: [Errno 28] No space left on device: 'x'", "disk", 1),
        ({"exit_code": 1}, "Traceback\nMemoryError\n", "oom", 1),
        ({"exit_code": 1}, "numpy._core._exceptions._ArrayMemoryError: Unable to allocate", "oom", 1),
        ({"exit_code": 1}, "ModuleNotFoundError: No module named 'sklearn'", "missing_package", 1),
        ({"exit_code": 1, "unclean": True}, "", "lost", None),
        ({"exit_code": None, "crowded": True}, "", "killed", None),
        ({"exit_code": None}, "", "error", None),
    ],
)
def test_each_cause_has_its_verdict(
    raw: dict[str, object], output: str, status: str, code: int | None
) -> None:
    verdict = judge(RawRun(duration_s=1.0, **raw), output, LIMITS)  # type: ignore[arg-type]
    assert (verdict.status, verdict.exit_code) == (status, code)
    assert bool(verdict.detail) == (status != "ok") and "\n" not in verdict.detail


def test_an_early_import_error_that_was_handled_is_not_the_verdict() -> None:
    output = "ModuleNotFoundError: No module named 'x'\n" + "went on\n" * 10 + "ValueError: later\n"
    verdict = judge(RawRun(exit_code=1, duration_s=1.0), output, LIMITS)
    assert (verdict.status, verdict.detail) == ("error", "ValueError: later")


@pytest.mark.parametrize(
    ("line", "distribution"),
    [
        ("ModuleNotFoundError: No module named 'cv2'", "opencv-python-headless"),
        ("ModuleNotFoundError: No module named 'polars'", "polars"),
        ("ModuleNotFoundError: No module named 'sklearn.cross_validation'", ""),
        ("ImportError: Missing optional dependency 'pyarrow'. pyarrow is required", "pyarrow"),
        ("ImportError: cannot import name 'x' from 'y'", ""),
        ("  ModuleNotFoundError: No module named 'quoted'", ""),
    ],
)
def test_the_missing_distribution_is_named(line: str, distribution: str) -> None:
    assert missing_distribution(line) == distribution


# --- output -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        (b"\x1b]52;c;unclosed", ""),
        (b"10%\r 50%\r100%\r", "100%"),
        (b"win\r", "win"),
        ("caf\u00e9 \U0001f600\u202e\u2028".encode(), "caf\u00e9 \U0001f600"),
        (b"tab\tand\x00\x07\x7f", "tab\tand"),
        (b"\xc2\x9b31mx", "x"),
        (b"\x1b", ""),
    ],
)
def test_lines_are_cleaned(raw: bytes, text: str) -> None:
    assert clean_line(raw) == text


chunks = st.lists(st.tuples(st.floats(0, 100), st.binary(max_size=40)), max_size=20)


@given(chunks)
def test_streamed_and_kept_text_agree_and_hold_no_control(pieces: list[tuple[float, bytes]]) -> None:
    shown: list[str] = []
    transcript = Transcript(shown.append)
    for at_s, data in pieces:
        transcript.feed(at_s, data)
    transcript.finish_line()
    assert "".join(shown) == transcript.text
    assert len(transcript.line_times) == len(transcript.text.splitlines())
    assert list(transcript.line_times) == sorted(transcript.line_times)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", transcript.text)


@given(chunks)
def test_cutting_the_stream_elsewhere_gives_the_same_text(pieces: list[tuple[float, bytes]]) -> None:
    whole, cut = Transcript(), Transcript()
    whole.feed(0.0, b"".join(data for _, data in pieces))
    for _, data in pieces:
        cut.feed(0.0, data)
    whole.finish_line()
    cut.finish_line()
    assert whole.text == cut.text


# --- frames -------------------------------------------------------------------

messages = st.lists(st.tuples(st.sampled_from(sorted(frames.KINDS)), st.binary(max_size=100)), max_size=8)


@given(messages, st.integers(1, 50))
def test_frames_survive_any_cutting(sent: list[tuple[bytes, bytes]], size: int) -> None:
    stream = b"".join(frames.pack(kind, payload) for kind, payload in sent)
    decoder = frames.Decoder()
    got = [frame for at in range(0, len(stream), size) for frame in decoder.feed(stream[at : at + size])]
    assert got == sent


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waited_for_and_never_believed_long(noise: bytes) -> None:
    try:
        got = frames.Decoder().feed(noise)
    except frames.FrameError:
        return
    assert sum(len(payload) + frames.HEADER.size for _, payload in got) <= len(noise)


def test_a_frame_over_the_limit_is_refused_before_it_comes() -> None:
    with pytest.raises(frames.FrameError):
        frames.Decoder().feed(frames.HEADER.pack(frames.DATA, frames.MAX_FRAME + 1))


@given(st.dictionaries(st.text("ab/é", min_size=1, max_size=9), st.binary(max_size=3000), max_size=5))
def test_bodies_survive(files: dict[str, bytes]) -> None:
    pieces = [x for name, data in files.items() for x in (frames.entry(name.encode(), len(data)), data)]
    stream = [f for packed in frames.pack_body(pieces) for f in frames.Decoder().feed(packed)]
    body = frames.Body(lambda: stream.pop(0)[1])
    assert {path.decode(): body.exactly(size) for path, size in body.entries()} == files


@given(st.text(max_size=30))
def test_checked_paths_stay_inside(path: str) -> None:
    try:
        frames.checked_path(path)
    except (ValueError, UnicodeEncodeError):
        return
    assert not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


# --- the runner's own rules ---------------------------------------------------


def test_the_runner_needs_python_3_9_and_the_standard_library_only() -> None:
    files = sorted(Path(frames.__file__).parent.glob("*.py"))
    assert len(files) > 8
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= sys.stdlib_module_names, file
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").split(".")[0] in sys.stdlib_module_names, file
