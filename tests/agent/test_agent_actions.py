"""The action grammar: reads every reply without raising, keeps bodies byte for byte, names what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.agent.actions import KINDS, parse

PIECES = st.sampled_from(
    [f"<{kind}" for kind in KINDS]
    + [f"</{kind}>" for kind in KINDS]
    + ['path="a.py"', "path=", 'path=""', "run='no'", "steps=0", "from=3", "/>", ">", "\n", " ", "Plan: x\n"]
    + ["```python\n", "```", "<think>", "</think>", "print(1)\n", "<|im_end|>", "\x00", "é"]
)
LINES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=40)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
def test_never_raises_and_says_what_is_wrong(reply: str) -> None:
    action = parse(reply)
    assert (action.kind == "invalid") == bool(action.error)
    assert "\n" not in action.plan


@given(st.lists(LINES, min_size=1, max_size=8).map("\n".join), st.booleans())
def test_a_written_body_arrives_as_it_is(body: str, fenced: bool) -> None:
    if not body.strip() or body.lstrip().startswith("```") or "</write>" in body or body.startswith("\n"):
        return
    inner = f"```python\n{body}\n```\n" if fenced else f"{body}\n"
    action = parse(f'Plan: some idea\n<write path="a.py">\n{inner}</write>')
    assert (action.kind, action.path, action.plan) == ("write", "a.py", "some idea")
    assert action.body == (body if body.endswith("\n") and fenced else body + "\n")


def test_a_program_may_hold_the_closing_tag_in_a_string() -> None:
    body = 'print("</write>")\nprint(2)\n'
    assert parse(f'<write path="a.py">\n{body}</write>').body == body


def test_thinking_is_no_action() -> None:
    action = parse("<think>\n<submit/>\nno, wait\n</think>\nPlan: look\n<list/>")
    assert (action.kind, action.path, action.plan) == ("list", ".", "look")


def test_attributes_are_read() -> None:
    action = parse('<read path="train.csv" from="3" to="9"/>')
    assert (action.kind, action.start, action.end) == ("read", 3, 9)
    assert parse('<write path="a.py" run="no">\nx=1\n</write>').execute is False
    assert parse('<run background="yes">python a.py</run>').background is True
    assert parse("<undo steps=2 />").steps == 2
    assert parse("<run>\n```bash\nls -l\n```\n</run>").body == "ls -l"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", "no action found"),
        ("I would first look at the data.", "no action found"),
        ("<list/>\n<submit/>", "two actions in one reply"),
        ('<write path="a.py">\nprint(1)\n', "is not closed"),
        ('<write path="a.py"></write>', "is empty"),
        ("<write>\nx\n</write>", "needs a path"),
        ("<run/>", "has no content"),
        ('<read path="a" from="0"/>', "not a whole number from 1"),
        ('<write path="a.py" run="maybe">\nx\n</write>', 'neither "yes" nor "no"'),
        ('<list folder="."/>', "has no attribute 'folder'"),
    ],
)
def test_a_malformed_reply_is_named(reply: str, words: str) -> None:
    action = parse(reply)
    assert action.kind == "invalid" and words in action.error
