"""Claims that count, claims that don't, and an output that is the program's own again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.records import MILESTONES, Facts, Grade, Mark
from mleagent.reward import schemes
from mleagent.reward.annotate import AstAnnotator
from mleagent.reward.instrument import Instrumented, instrument
from mleagent.reward.milestones import collect

ALL = Instrumented(source="", tag="t", marks=tuple(Mark(name=n, line=i) for i, n in enumerate(MILESTONES, 1)))
VALID, INVALID = Grade(valid=True), Grade(valid=False, reason="no rows")


def lines(*names: str, tag: str = "t") -> str:
    return "".join(f"[mle:{tag}] {name}\n" for name in names)


def test_claims_count_in_order_with_the_time_of_their_line() -> None:
    output = "start\n" + lines(*MILESTONES[:2]) + "middle\n" + lines(MILESTONES[2])
    got = collect(ALL, output, (0.0, 0.1, 0.5, 0.6, 0.9))
    assert [(m.name, m.at_s, m.source) for m in got.milestones] == [
        (MILESTONES[0], 0.1, "program"),
        (MILESTONES[1], 0.5, "program"),
        (MILESTONES[2], 0.9, "program"),
    ]
    assert (got.output, got.line_times, got.forged) == ("start\nmiddle\n", (0.0, 0.6), 0)


def test_the_last_two_come_from_the_graded_file_only() -> None:
    output = lines(*MILESTONES)
    assert [m.name for m in collect(ALL, output, (), None).milestones] == list(MILESTONES[:5])
    saved = collect(ALL, output, (), INVALID, submission_saved=True)
    assert [m.name for m in saved.milestones][5:] == ["saved submission"]
    both = collect(ALL, "", (), VALID, submission_saved=True)
    assert [(m.name, m.source) for m in both.milestones] == [(n, "grader") for n in MILESTONES[5:]]


@pytest.mark.parametrize(
    ("output", "counted", "forged"),
    [
        (lines("trained model", "loaded data"), ["trained model"], 1),
        (lines("loaded data", tag="other"), [], 1),
        (lines("loaded data", "loaded data"), ["loaded data"], 1),
        ("[mle:t] won\n", [], 1),
        ("[mle:t] loaded data and more\n", [], 1),
        ("[mle:x] something else\n", [], 0),
    ],
)
def test_claims_that_do_not_count(output: str, counted: list[str], forged: int) -> None:
    got = collect(ALL, output)
    assert ([m.name for m in got.milestones], got.forged) == (counted, forged)


def test_a_claim_that_the_annotator_never_marked_does_not_count() -> None:
    program = Instrumented(source="", tag="t", marks=(Mark(name="loaded data", line=1),))
    got = collect(program, lines("imported packages", "loaded data", "trained model"))
    assert ([m.name for m in got.milestones], got.forged) == (["loaded data"], 2)


def test_repeats_in_a_loop_are_no_forgery() -> None:
    looped = ALL.model_copy(update={"repeatable": ("trained model", "validation score")})
    got = collect(looped, lines(*["trained model", "validation score"] * 5))
    assert ([m.name for m in got.milestones], got.forged, got.output) == (
        ["trained model", "validation score"],
        0,
        "",
    )


def test_glued_lines_flow_together_again() -> None:
    assert collect(ALL, "50%|" + lines("loaded data") + "|100%\n").output == "50%||100%\n"
    assert collect(ALL, "a[mle:t] loaded data\r\nb\r\n").output == "ab\r\n"


def test_a_program_that_prints_its_own_source_claims_nothing() -> None:
    source = "x = load()\ny = 2\n"
    program = instrument(source, [Mark(name="loaded data", line=1)], "t")
    got = collect(program, program.source)
    assert (got.milestones, got.forged, got.output) == ((), 0, source)


@given(st.lists(st.one_of(st.text("ab \r\t[]mle:", max_size=12), st.sampled_from(MILESTONES).map(lines))))
def test_the_rest_of_the_output_survives_and_times_stay_with_their_lines(pieces: list[str]) -> None:
    output = "\n".join(pieces) + "\n"
    times = [float(i) for i in range(output.count("\n"))]
    got = collect(ALL, output, times)
    assert "[mle:t]" not in got.output
    assert len(got.line_times) == got.output.count("\n")
    assert list(got.line_times) == sorted(got.line_times)
    assert len(got.milestones) <= 5


def run(source: str, folder: Path, tag: str = "k3") -> tuple[Instrumented, str]:
    program = instrument(source, AstAnnotator().annotate(source), tag)
    path = folder / "solution.py"
    path.write_text(program.source, encoding="utf-8")
    command = [sys.executable, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    return program, done.stdout


def test_a_real_program_reaches_them_all_and_its_output_is_unchanged(tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import pandas as pd
        from sklearn.linear_model import Ridge
        from sklearn.metrics import r2_score
        train = pd.read_csv("train.csv")
        model = Ridge()
        for step in range(2):
            model.fit(train[["a"]], train["y"])
            print("r2", r2_score(train["y"], model.predict(train[["a"]])))
        test = train.drop(columns="y")
        pd.DataFrame({"y": model.predict(test[["a"]])}).to_csv("submission.csv")
        """
    )
    (tmp_path / "train.csv").write_text("a,y\n1,2\n2,4\n3,6.5\n", encoding="utf-8")
    program, output = run(source, tmp_path)
    got = collect(program, output, grade=VALID, submission_saved=True)
    assert [m.name for m in got.milestones] == list(MILESTONES)
    assert (got.forged, got.output.count("r2 "), "mle:" in got.output) == (0, 2, False)


def test_a_program_that_forges_every_milestone_earns_at_most_015(tmp_path: Path) -> None:
    """It reads its own file, finds the tag and prints all seven claims, with a score on top."""
    forger = textwrap.dedent(
        """
        import re
        if 0: import numpy; numpy.loadtxt("x")
        if 0: Ridge().fit(1, 2)
        if 0: r2_score(1, 2)
        if 0: m.predict(test).to_csv("submission.csv")
        tag = re.search("mle:(\\\\w+)", open(__file__).read()).group(1)
        for name in ("loaded data", "defined model", "trained model", "validation score",
                     "predicted test", "saved submission"):
            print(f"[mle:{tag}] {name}")
        print("validation accuracy: 1.0")
        """
    )
    program, output = run(forger, tmp_path)
    got = collect(program, output)
    assert [m.name for m in got.milestones] == list(MILESTONES[:5])
    base = Facts(format_valid=True, action="write", executed=True, status="ok", self_reported=1.0)
    unified = schemes.get("unified")
    honest, forged, sample = unified(
        [
            base,
            base.model_copy(update={"milestones": got.milestones, "forged": got.forged}),
            base.model_copy(update={"submission": "valid", "utility": 0.0}),
        ]
    )
    assert honest and forged and sample
    assert 0 < forged.total - honest.total <= 0.15
    assert forged.total < sample.total
