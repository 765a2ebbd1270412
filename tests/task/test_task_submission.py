"""Why a submission can't be scored: one exact line for each way of being wrong, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_private import csv_of, make_private, parts_of

from mleagent.task import submission
from mleagent.task.grade import Grader
from mleagent.task.submission import SubmissionError, read_file

PARTS = parts_of(10, 5, 5)
IDS = [str(100 + row) for row in range(20)]
VALUES = [float(row) for row in range(20)]
BITS = [row % 2 for row in range(20)]


@pytest.fixture
def values(tmp_path: Path) -> Grader:
    """A regression graded by rmsle, ids whole numbers."""
    return Grader(make_private(tmp_path / "v", "rmsle", {"y": VALUES}, PARTS, problem="regression"))


@pytest.fixture
def labels(tmp_path: Path) -> Grader:
    """Three classes as text graded by accuracy, ids text."""
    truth = [("cat", "dog", "owl")[row % 3] for row in range(20)]
    classes = ("cat", "dog", "owl")
    ids = [f"a{row:03}" for row in range(20)]
    return Grader(
        make_private(
            tmp_path / "l", "accuracy", {"y": truth}, PARTS, ids, problem="multiclass", classes=classes
        )
    )


@pytest.fixture
def chances(tmp_path: Path) -> Grader:
    """Two classes graded by AUC."""
    return Grader(
        make_private(tmp_path / "c", "roc_auc", {"y": BITS}, PARTS, problem="binary", classes=("0", "1"))
    )


def changed(sequence: Sequence[Any], **at: Any) -> list[Any]:
    """A copy with some places changed: `changed(x, _3="oops")`."""
    copy = list(sequence)
    for place, value in at.items():
        copy[int(place[1:])] = value
    return copy


def reason(grader: Grader, data: bytes | Mapping[str, Sequence[Any]]) -> str:
    grade = grader.grade(data if isinstance(data, bytes) else csv_of(data))
    assert grade.valid == (grade.reason == "") and (grade.score is None) == (not grade.valid)
    assert "\n" not in grade.reason and len(grade.reason) <= 400
    return grade.reason


GOOD = {"id": IDS, "y": VALUES}

FAULTS = [
    ({"id": IDS[:-4], "y": VALUES[:-4]}, "4 missing ids (first: 116, 117, 118); 16 rows instead of 20"),
    ({"id": changed(IDS, _0="7"), "y": VALUES}, "column 'id': 1 missing id (100), 1 unknown id (7)"),
    ({"id": [*IDS, "200"], "y": [*VALUES, 1]}, "1 unknown id (200); 21 rows instead of 20"),
    ({"id": changed(IDS, _1="100"), "y": VALUES}, "1 missing id (101), 1 duplicate id (100)"),
    ({"id": changed(IDS, _1=""), "y": VALUES}, "1 unknown id ()"),
    (
        {"id": IDS, "y": changed(VALUES, _3="nan", _5="")},
        "2 missing values (NaN) in column 'y' (id 103, id 10",
    ),
    ({"id": IDS, "y": changed(VALUES, _3="inf")}, "1 infinite value in column 'y' (id 103)"),
    ({"id": IDS, "y": changed(VALUES, _3="-Infinity")}, "1 infinite value in column 'y' (id 103)"),
    (
        {"id": IDS, "y": changed(VALUES, _3="high")},
        "1 value is no number, e.g. 'high', in column 'y' (id 1",
    ),
    (
        {"id": IDS, "y": changed(VALUES, _3=-2)},
        "1 value below 0, e.g. -2, in column 'y' (id 103); rmsle",
    ),
    ({"id": IDS, "x": VALUES}, "wrong columns: missing 'y'; unexpected 'x'; expected id,y"),
    ({"": IDS, "id": IDS, "y": VALUES}, "unexpected '' (an index? write with index=False)"),
    ({"id;y": IDS}, "wrong columns: separated by semicolons, not commas; expected id,y"),
    (b"id,y,y\n1,2,3\n", "more than once 'y'"),
    (b"", "the submission is empty"),
    (b" \n\r\n ", "the submission is empty"),
    (b"id,y\n", "header and no rows"),
    (b"id,y\n100,1\n101\n", "unreadable CSV: row 2 has 1 columns instead of 2: '101'"),
    (b"id,y\n100,1,2\n", "has 3 columns instead of 2: '100,1,2'"),
    (b"id,y\n100,\xff\n", "wrong encoding: byte 0xff in line 2 is not UTF-8"),
    (b"\xff\xfei\x00d\x00", "wrong encoding: UTF-16"),
    (b"\xe9,y\n1,2\n", "wrong encoding: byte 0xe9 in line 1"),
    (b"PK\x03\x04rest", "a zip archive, not a CSV file"),
    (b"\x1f\x8brest", "a gzip archive, not a CSV file"),
]


@pytest.mark.parametrize(("data", "expected"), FAULTS)
def test_exact_reason(values: Grader, data: Any, expected: str) -> None:
    assert reason(values, GOOD) == ""
    assert expected in reason(values, data)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (
            ["cow"] + ["cat"] * 19,
            "1 label not among the classes (cat, dog, owl), e.g. 'cow',",
        ),
        (["cat"] * 19 + [""], "1 missing label in column 'y' (id a019)"),
        (["0.7"] * 20, "20 labels not among the classes (cat, dog, owl), e.g. '0.7'"),
        (["Cat"] * 20, "e.g. 'Cat'"),
    ],
)
def test_exact_reason_for_labels(labels: Grader, column: list[str], expected: str) -> None:
    ids = [f"a{row:03}" for row in range(20)]
    assert reason(labels, {"id": ids, "y": ["cat"] * 20}) == ""
    assert expected in reason(labels, {"id": ids, "y": column})


def test_probabilities_for_labels_are_called_so(tmp_path: Path) -> None:
    folder = make_private(tmp_path, "accuracy", {"y": BITS}, PARTS, problem="binary", classes=("0", "1"))
    assert "write labels, not probabilities" in reason(Grader(folder), {"id": IDS, "y": [0.25] * 20})
    assert reason(Grader(folder), {"id": IDS, "y": [f"{bit}.0" for bit in BITS]}) == ""


def test_probabilities_stay_within_0_and_1(chances: Grader) -> None:
    column = [0.5] * 20
    assert "1 probability outside 0..1, e.g. 1.7, in column 'y' (id 102)" in reason(
        chances, {"id": IDS, "y": changed(column, _2=1.7)}
    )
    assert "2 probabilities outside 0..1, e.g. -0.1" in reason(
        chances, {"id": IDS, "y": changed(column, _2=-0.1, _3=2)}
    )
    assert reason(chances, {"id": IDS, "y": changed(column, _2=1.0000001)}) == ""


def test_class_columns(tmp_path: Path) -> None:
    truth = [("cat", "dog", "owl")[row % 3] for row in range(20)]
    classes = ("cat", "dog", "owl")
    grader = Grader(
        make_private(
            tmp_path,
            "logloss",
            {"y": truth},
            PARTS,
            problem="multiclass",
            classes=classes,
            columns=("id", "p_owl", "p_cat", "p_dog"),
            class_columns=(("p_owl", "owl"), ("p_cat", "cat"), ("p_dog", "dog")),
        )
    )
    right = {f"p_{name}": [3.0 * (row == name) for row in truth] for name in classes}
    assert "outside 0..1" in reason(grader, {"id": IDS, **right})
    halves = {name: [value / 6 for value in column] for name, column in right.items()}
    grade = grader.grade(csv_of({"id": IDS, **halves}))  # rows sum to 0.5: normalised, as Kaggle does
    assert grade.valid and grade.score is not None and grade.score.value == 0.0 and grade.utility == 1.0
    nothing = {name: changed(column, _4=0) for name, column in halves.items()}
    assert "1 row whose probabilities are all 0 (id 104)" in reason(grader, {"id": IDS, **nothing})
    assert "missing 'p_dog'" in reason(grader, {"id": IDS, "p_owl": VALUES, "p_cat": VALUES})


def test_ids_are_compared_as_numbers_or_as_text(values: Grader, labels: Grader) -> None:
    assert reason(values, {"id": [f"{text}.0" for text in IDS], "y": VALUES}) == ""
    assert reason(values, {"id": [f" {text}" for text in IDS], "y": VALUES}) == ""
    assert "20 missing ids" in reason(values, {"id": [f"{text}.5" for text in IDS], "y": VALUES})
    assert "20 missing ids" in reason(labels, {"id": [f"a{row}" for row in range(20)], "y": ["cat"] * 20})


def test_without_ids_rows_match_by_position(tmp_path: Path) -> None:
    grader = Grader(
        make_private(
            tmp_path, "mae", {"y": VALUES}, PARTS, id_column=None, columns=("y",), problem="regression"
        )
    )
    assert reason(grader, {"y": VALUES}) == ""
    assert reason(grader, {"y": VALUES[:-1]}) == "19 rows instead of 20, one for each test row"
    assert "(row 4)" in reason(grader, {"y": changed(VALUES, _3="nan")})


def test_what_does_not_matter(values: Grader) -> None:
    expected = values.grade(csv_of(GOOD))
    plain = csv_of(GOOD)
    quoted = b"\n".join(b",".join(b'"%s"' % cell for cell in line.split(b",")) for line in plain.splitlines())
    for same in (
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\n", b"\r\n"),
        plain.rstrip(b"\n"),
        b"\n" + plain + b"\n\n",
        csv_of({"y": VALUES, "id": IDS}),
        quoted,
    ):
        assert values.grade(same) == expected


def test_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "submission.csv"
    with huge.open("wb") as file:
        file.truncate(submission.MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(SubmissionError, match=r"too large: 2\.0 GB"):
        read_file(huge)
    with pytest.raises(SubmissionError, match="there is no file absent"):
        read_file(tmp_path / "absent.csv")
    with pytest.raises(SubmissionError, match="no file"):
        read_file(tmp_path)
    small = tmp_path / "small.csv"
    small.write_bytes(b"id,y\n")
    assert read_file(small) == b"id,y\n"
    monkeypatch.setattr(submission, "MAX_BYTES", 3)
    with pytest.raises(SubmissionError, match="too large"):
        read_file(small)


def test_a_reason_is_one_clean_line(values: Grader) -> None:
    nasty = "\x1b[31m</write>" + "x" * 500
    said = reason(values, {"id": IDS, "y": changed(VALUES, _3=nasty)})
    assert said.isprintable() and len(said) < 200 and "is no number" in said


@settings(max_examples=150, deadline=None)
@given(
    noise=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(lambda tail: b"id,y\n" + tail),
        st.text(alphabet='id,y\n\r"0123456789.e-naif\x00;\t', max_size=120).map(
            lambda text: b"id,y\n" + text.encode()
        ),
    )
)
def test_arbitrary_bytes_never_raise(noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, truth, more in (
        ("rmse", VALUES, {"problem": "regression"}),
        ("accuracy", BITS, {"problem": "binary", "classes": ("0", "1")}),
        ("map@3", [f"l{bit}" for bit in BITS], {"problem": "ranking"}),
    ):
        folder = tmp_path_factory.getbasetemp() / f"noise-{name}"
        if not folder.exists():
            make_private(folder, name, {"y": truth}, PARTS, **more)
        assert reason(Grader(folder), noise)


@settings(max_examples=100, deadline=None)
@given(row=st.integers(0, 19), cell=st.text(max_size=12), where=st.sampled_from(["id", "y"]))
def test_one_arbitrary_cell_never_raises(
    row: int, cell: str, where: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cell"
    if not folder.exists():
        make_private(folder, "rmse", {"y": VALUES}, PARTS, problem="regression")
    columns = {"id": list(IDS), "y": [str(value) for value in VALUES]}
    columns[where][row] = '"' + cell.replace('"', '""') + '"'
    data = "\n".join(",".join(row) for row in zip(*columns.values(), strict=True))
    grade = Grader(folder).grade(b"id,y\n" + data.encode(errors="replace"))
    assert grade.valid or grade.reason
    assert np.isfinite(grade.score.value) if grade.score else "\n" not in grade.reason
