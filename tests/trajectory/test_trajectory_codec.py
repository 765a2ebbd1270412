"""Bytes and words: packing is exact where it says so; scores, gains, durations as DESIGN §11 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.trajectory import codec
from mleagent.trajectory.detail import printable
from mleagent.trajectory.lines import StepLine, duration, number, progress, score_text, signed, step_text

IDS = st.lists(st.integers(0, 3), max_size=40).map(tuple)


@given(st.text() | st.text(alphabet="ab", min_size=300, max_size=3000))
def test_texts_are_exact(text: str) -> None:
    assert codec.unpack_text(codec.pack_text(text)) == text


def test_repetitive_output_gets_small() -> None:
    packed = codec.pack_text("epoch 1 loss 0.5\n" * 1000)
    assert packed is not None and len(packed) < 500
    with pytest.raises(ValueError, match="packing"):
        codec.unpack_text(b"\x07abc")


@given(st.lists(st.integers(0, 2**40)).map(tuple))
def test_ids_are_exact(ids: tuple[int, ...]) -> None:
    assert codec.unpack_ids(codec.pack_ids(ids)) == ids


def test_ids_of_a_large_vocabulary_take_three_bytes() -> None:
    assert len(codec.pack_ids((151_935,) * 10) or b"") == 30
    with pytest.raises(ValueError, match="negative"):
        codec.pack_ids((1, -1))


@given(st.lists(st.floats(-1000, 0)).map(tuple))
def test_log_probabilities_within_half_precision(values: tuple[float, ...]) -> None:
    got = codec.unpack_halves(codec.pack_halves(values))
    assert got == pytest.approx(values, rel=2**-11, abs=2**-24)


def test_log_probabilities_out_of_range() -> None:
    inf = float("inf")
    assert codec.unpack_halves(codec.pack_halves((-1e9, -inf, inf))) == (-65504.0, -inf, inf)


@given(st.lists(st.floats(allow_nan=False)).map(tuple))
def test_times_are_exact(values: tuple[float, ...]) -> None:
    assert codec.unpack_doubles(codec.pack_doubles(values)) == values


@given(IDS, IDS, IDS)
def test_shared_prefix_is_the_longest(
    head: tuple[int, ...], one: tuple[int, ...], two: tuple[int, ...]
) -> None:
    a, b = head + one, head + two
    shared = codec.shared_prefix(a, b)
    assert a[:shared] == b[:shared]
    assert shared == min(len(a), len(b)) or a[shared] != b[shared]


@given(st.text(max_size=3000), st.integers(10, 200))
def test_clipping_keeps_head_and_tail(text: str, limit: int) -> None:
    clipped = codec.clip_middle(text, limit)
    assert len(clipped) <= limit + 3
    assert clipped.startswith(text[: limit // 2]) and clipped.endswith(text[-(limit // 2) :])


def test_printable_takes_out_what_drives_a_terminal() -> None:
    coloured = "\x1b[31mred\x1b[0m \x1b]0;title\x07ok \x1b]8;;http://x\x1b\\link\x1b(B "
    assert printable(coloured) == "red ok link "
    assert printable("\x9b2J\x08\x00\ttab\r\nnext\rover\x1b") == "·2J··\ttab\nnext\nover"
    assert printable("\x1b]0;never ended\nnext line") == "\nnext line"


@given(st.text(alphabet="\x1b[]0;mK\x07\\ab\x9b\r\n\t"))
def test_nothing_that_drives_a_terminal_is_left(text: str) -> None:
    assert not set(printable(text)) & {"\x1b", "\x9b", "\r", "\x07", "\x08"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"), (0.8123, "0.8123"), (0.0, "0.0000"), (-0.5, "-0.5000"), (12.3456, "12.346"),
        (31415.92, "31416"), (3e-7, "3e-07"), (2.5e9, "2.5e+09"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0s"), (9.96, "10s"), (38.2, "38s"), (725, "12m05s"), (12000, "3h20m")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_scores_say_what_they_are_less_than() -> None:
    assert score_text(0.8, 0.01, "feedback") == "0.8000 ±.0100"
    assert score_text(0.8, None, "self-reported", verified=False) == "0.8000 self-reported unverified"
    assert (signed(0.0041), signed(-12.5)) == ("+.0041", "-12.500")


def line(index: int, score: float | None, direction: str = "minimize", **fields: object) -> StepLine:
    base = {
        "id": str(index), "session_id": "s", "parent_id": None, "index": index, "created_at": 0.0,
        "kind": "write", "plan": "", "status": "ok", "score": score, "score_se": 0.0096,
        "direction": direction, "duration_s": 38.0,
    }  # fmt: skip
    return StepLine.model_validate(base | fields)


def test_progress_knows_which_way_is_better() -> None:
    steps = progress([line(0, 2.0), line(1, 3.0), line(2, None), line(3, 1.5), line(4, 1.5)])
    assert [step.best for step in steps] == [2.0, 2.0, 2.0, 1.5, 1.5]
    assert [step.gain for step in steps] == [None, -1.0, None, 0.5, 0.0]
    assert [step.baseline_gain for step in steps] == [None, -1.0, None, 0.5, 0.5]
    assert [step.improved for step in steps] == [True, False, False, True, False]


def test_a_steps_line() -> None:
    steps = progress(
        [line(0, 0.8), line(7, 0.7959), line(8, None, status="timeout"), line(9, None, kind="invalid")]
    )
    assert step_text(steps[1]) == "step 7 ✓ 0.7959 ±.0096 (best +.0041, baseline +.0041) 38s"
    assert step_text(steps[2]) == "step 8 ✗ timeout 38s"
    assert step_text(steps[3]) == "step 9 ✗ malformed 38s"
