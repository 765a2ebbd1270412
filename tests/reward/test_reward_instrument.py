"""Instrumentation adds prints and nothing else, on any program, and line numbers find their way back."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mleagent.records import MILESTONES, Mark
from mleagent.reward.annotate import AstAnnotator
from mleagent.reward.instrument import Instrumented, instrument, statement_for

LIBRARY = sorted(path for path in Path(ast.__file__).parent.glob("*.py") if path.stat().st_size < 60_000)


def marked(source: str, line: int, name: str = "loaded data") -> Instrumented:
    return instrument(source, [Mark(name=name, line=line)], "t1")


@pytest.mark.parametrize(
    ("source", "line", "expected"),
    [
        ("x = 1\ny = 2\n", 1, "x = 1\nP\ny = 2\n"),
        ("x = 1", 1, "x = 1\nP\n"),
        ("x = 1; y = 2; z = 3\n", 1, "x = 1; y = 2; z = 3\nP\n"),
        ("x = (1,\n 2)\n", 1, "x = (1,\n 2)\nP\n"),
        ('x = """a\n  b\n"""\n', 2, 'x = """a\n  b\n"""\nP\n'),
        ("x = 1 + \\\n 2\ny\n", 1, "x = 1 + \\\n 2\nP\ny\n"),
        ("if x: y = 1\n", 1, "if x: y = 1; P\n"),
        ("if x: y = 1; z = 2  # why\nelse: q = 1\n", 1, "if x: y = 1; z = 2; P  # why\nelse: q = 1\n"),
        ("if x:\n\ty = 1\nelse: z = 'é', 2\n", 3, "if x:\n\ty = 1\nelse: z = 'é', 2; P\n"),
        ("if x:\n\ty = 1\n", 2, "if x:\n\ty = 1\n\tP\n"),
        ("for i in x:\n    f(i)\ng()\n", 1, "for i in x:\n    f(i)\nP\ng()\n"),
        ("def f():\n    y = 1  # é\n    return y\n", 2, "def f():\n    y = 1  # é\n    P\n    return y\n"),
        ("@a\ndef f():\n    pass\n", 2, "@a\ndef f():\n    pass\nP\n"),
        ("x = 1\r\ny = 2\r\n", 1, "x = 1\r\nP\r\ny = 2\r\n"),
        (
            "'''doc'''\nfrom __future__ import annotations\n",
            2,
            "'''doc'''\nfrom __future__ import annotations\nP\n",
        ),
        ("try:\n    x()\nexcept E: y()\nz()\n", 3, "try:\n    x()\nexcept E: y(); P\nz()\n"),
        ("match x:\n    case 1:\n        y = 1\n", 3, "match x:\n    case 1:\n        y = 1\n        P\n"),
    ],
)
def test_the_print_stands_right_after_the_statement(source: str, line: int, expected: str) -> None:
    assert marked(source, line).source == expected.replace("P", statement_for("loaded data", "t1"))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f():\n    return 1\n", 2),
        ("for x in y:\n    break\n", 2),
        ("@a\ndef f():\n    pass\n", 1),
        ("x = 1\n", 7),
        ('"doc"\nfrom __future__ import annotations\nx = 1\n', 1),
        ("def f(:\n", 1),
        ("x = 1\0\n", 1),
    ],
)
def test_where_no_print_can_stand_the_source_is_untouched(source: str, line: int) -> None:
    result = marked(source, line)
    assert (result.source, result.marks) == (source, ())


@pytest.mark.parametrize(
    "shadow",
    [
        *(
            "print = log",
            "def print(*a): pass",
            "from rich import print",
            "import builtins\nbuiltins.print = f",
        ),
        *("class print: pass", "lambda print: 1", "for print in x: pass", "import print", "del print"),
    ],
)
def test_a_program_with_a_print_of_its_own_is_left_alone(shadow: str) -> None:
    source = f"x = 1\n{shadow}\n"
    assert marked(source, 1) == Instrumented(source=source, tag="t1")


def test_a_program_that_already_holds_the_same_print_is_left_alone() -> None:
    source = f"x = 1\n{statement_for('loaded data', 't1')}\n"
    assert marked(source, 1).marks == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_removing_the_prints_gives_the_original_program(data: st.DataObject) -> None:
    """On real code of every style: Python's own library, with marks on lines drawn at random."""
    source = data.draw(st.sampled_from(LIBRARY)).read_text(encoding="utf-8", errors="replace")
    count = source.count("\n") + 1
    names = data.draw(st.lists(st.sampled_from(MILESTONES), unique=True, min_size=1))
    marks = [Mark(name=name, line=data.draw(st.integers(1, count))) for name in names]
    result = instrument(source, marks, "q9")
    if not result.marks:
        assert result.source == source
        return
    mine = [(n, line) for n, line in enumerate(result.source.split("\n"), 1) if "[mle:q9]" in line]
    assert len(mine) <= len(result.marks)
    restored = result.source
    for name in names:
        for piece in (f"; {statement_for(name, 'q9')}", statement_for(name, "q9")):
            restored = restored.replace(piece, "")
    kept = [
        line for n, line in enumerate(restored.split("\n"), 1) if not (n in dict(mine) and not line.strip())
    ]
    assert [line.rstrip() for line in kept] == [line.rstrip() for line in source.split("\n")]
    assert len(result.lines) == result.source.count("\n") + (not result.source.endswith("\n"))


def test_every_annotated_milestone_finds_a_place_in_ordinary_programs() -> None:
    source = textwrap.dedent(
        """
        import numpy as np
        x = np.loadtxt("x.csv")
        model = Ridge()
        for a in (1, 2): model.fit(x, y)
        if True: print(r2_score(y, model.predict(x)))
        np.savetxt("submission.csv", model.predict(test))
        """
    )
    marks = AstAnnotator().annotate(source)
    result = instrument(source, marks, "t")
    assert {m.name for m in result.marks} == set(MILESTONES)


def test_tracebacks_and_warnings_of_a_real_run_get_the_original_lines(tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import warnings
        def fail():
            warnings.warn("odd")
            return 1 / 0
        x = 1
        fail()
        """
    )
    plain = tmp_path / "a" / "solution.py"
    marks = [
        Mark(name=MILESTONES[0], line=2),
        Mark(name=MILESTONES[1], line=4),
        Mark(name=MILESTONES[2], line=6),
    ]
    result = instrument(source, marks, "t")
    assert len(result.marks) == 3
    outputs = []
    for text in (source, result.source):
        plain.parent.mkdir(exist_ok=True)
        plain.write_text(text, encoding="utf-8")
        run = subprocess.run([sys.executable, str(plain)], capture_output=True, text=True, check=False)
        outputs.append(run.stderr)
    assert outputs[0] != outputs[1]
    assert result.restore(outputs[1]) == outputs[0]
    other = 'File "/usr/lib/other_solution.py", line 9'
    assert result.restore(other) == other
