"""SEARCH/REPLACE edits: exact first, then white space, else refused with nothing changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.agent.edits import EditRefused, apply

TEXT = "import csv\n\ndef fit(x):\n    a = 1\n    return a\n\nprint(fit(2))\n"


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


LINE = st.text("abc xyz()=+.,'\"é", min_size=1, max_size=12).filter(lambda s: s.strip())


@given(st.lists(LINE, min_size=2, max_size=12, unique_by=str.strip), st.data())
def test_a_quoted_range_is_replaced_and_nothing_else(lines: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(lines) - 1))
    stop = data.draw(st.integers(start + 1, len(lines)))
    new = data.draw(st.lists(LINE, max_size=4))
    text = "".join(line + "\n" for line in lines)
    search = "".join(line + "\n" for line in lines[start:stop])
    replace = "".join(line + "\n" for line in new)
    assert apply(text, block(search, replace)) == "".join(
        line + "\n" for line in [*lines[:start], *new, *lines[stop:]]
    )


def test_white_space_is_forgiven_and_the_indent_kept() -> None:
    changed = apply(TEXT, block("a  =  1\nreturn a\n", "a = 2\nreturn a + 1\n"))
    assert "    a = 2\n    return a + 1\n" in changed


def test_a_refused_edit_shows_the_nearest_lines() -> None:
    with pytest.raises(EditRefused, match=r"not in the file.*\n3: def fit\(x\):"):
        apply(TEXT, block("def fit(x, y):\n    a = 1\n", "pass\n"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("a = 2", "no SEARCH/REPLACE block"),
        (block("", "x\n"), "SEARCH is empty"),
        (block("nothing like it at all\n", "x\n"), "is not in the file"),
    ],
)
def test_refusals_say_why(body: str, words: str) -> None:
    with pytest.raises(EditRefused, match=words):
        apply(TEXT, body)


def test_an_ambiguous_quote_is_refused() -> None:
    with pytest.raises(EditRefused, match="matches 2 places"):
        apply("x = 1\ny = 2\nx = 1\n", block("x = 1\n", "x = 3\n"))


def test_all_blocks_or_none() -> None:
    both = block("    a = 1\n", "    a = 5\n") + block("no such line\n", "x\n")
    with pytest.raises(EditRefused, match="block 2"):
        apply(TEXT, both)
    assert apply(TEXT, both.split(">>>>>>> REPLACE\n")[0] + ">>>>>>> REPLACE\n").count("a = 5") == 1


def test_an_empty_file_is_filled_by_an_empty_search() -> None:
    assert apply("", block("", "x = 1\n")) == "x = 1\n"
