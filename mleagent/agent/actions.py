"""The action grammar (DESIGN §6): a reply's text becomes one `Action`.

Plain tags around raw blocks, never code inside JSON: small models write it
without escaping anything. The parser takes text and gives a record; it never
raises, what it can't read becomes an action of kind `invalid` whose `error` says
what is wrong and what was expected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..records import Action, ActionKind

KINDS: tuple[ActionKind, ...] = ("list", "read", "data", "write", "edit", "run", "undo", "submit")
_BLOCKS = frozenset({"write", "edit", "run"})
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "list": frozenset({"path"}),
    "read": frozenset({"path", "from", "to"}),
    "data": frozenset({"path"}),
    "write": frozenset({"path", "run"}),
    "edit": frozenset({"path", "run"}),
    "run": frozenset({"background"}),
    "undo": frozenset({"steps"}),
    "submit": frozenset(),
}
_NEEDS_PATH = frozenset({"read", "data", "write", "edit"})
_OPEN = re.compile(r"^[ \t]*<(list|read|data|write|edit|run|undo|submit)\b([^<>\n]*?)(/?)>", re.MULTILINE)
_ATTRIBUTE = re.compile(r"""([a-z]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>/]+))""")
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_TRUE, _FALSE = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})


class _Malformed(Exception):
    """Carries the one line that says what is wrong."""


@dataclass(frozen=True)
class _Tag:
    kind: ActionKind
    attributes: dict[str, str]
    body: str
    end: int


def parse(reply: str) -> Action:
    """The one action of a reply. Never raises; see `Action.error` when kind is `invalid`.

    Text before the tag is the plan; text after it is ignored unless it holds a
    second action, which is an error: one action a reply.
    """
    text = _THINKING.sub("", reply)
    opening = _OPEN.search(text)
    plan = _plan(text[: opening.start()] if opening else text)
    try:
        if opening is None:
            raise _Malformed(
                "no action found; end the reply with one of " + ", ".join(f"<{k}>" for k in KINDS)
            )
        tag = _tag(text, opening)
        extra = _OPEN.search(text, tag.end)
        if extra:
            raise _Malformed(f"two actions in one reply (<{tag.kind}> and <{extra.group(1)}>); give one")
        return _action(tag, plan)
    except _Malformed as error:
        return Action(kind="invalid", plan=plan, error=str(error))


def _plan(before: str) -> str:
    lines = [line.strip() for line in before.strip().splitlines() if line.strip()]
    for line in lines:
        if line.lower().startswith("plan:"):
            return line[5:].strip()
    return lines[0] if lines else ""


def _tag(text: str, opening: re.Match[str]) -> _Tag:
    kind: ActionKind = opening.group(1)  # type: ignore[assignment]  # the pattern allows no other
    attributes = _attributes(kind, opening.group(2))
    if kind not in _BLOCKS:
        closing = f"</{kind}>"
        rest = text[opening.end() :]
        skip = len(rest) - len(rest.lstrip())
        end = opening.end() + (skip + len(closing) if rest.lstrip().startswith(closing) else 0)
        return _Tag(kind, attributes, "", end)
    if opening.group(3):
        raise _Malformed(f"<{kind}/> has no content; write <{kind}>...</{kind}>")
    closing = f"</{kind}>"
    # On a line of its own first: a program may hold the closing tag inside a string.
    own_line = re.compile(rf"^[ \t]*{closing}", re.MULTILINE).search(text, opening.end())
    close = text.index(closing, own_line.start()) if own_line else text.rfind(closing)
    if close < opening.end():
        raise _Malformed(f"<{kind}> is not closed; end it with {closing} (was the reply cut off?)")
    return _Tag(kind, attributes, text[opening.end() : close], close + len(closing))


def _attributes(kind: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        if name not in _ATTRIBUTES[kind]:
            known = ", ".join(sorted(_ATTRIBUTES[kind])) or "none"
            raise _Malformed(f"<{kind}> has no attribute {name!r} (known: {known})")
        found[name] = double or single or bare
    return found


def _action(tag: _Tag, plan: str) -> Action:
    given = tag.attributes
    path = given.get("path", "").strip()
    if tag.kind in _NEEDS_PATH and not path:
        raise _Malformed(f'<{tag.kind}> needs a path: <{tag.kind} path="..."')
    body = _body(tag)
    if tag.kind in _BLOCKS and not body.strip():
        raise _Malformed(f"<{tag.kind}> is empty")
    return Action(
        kind=tag.kind,
        plan=plan,
        path=path or ("." if tag.kind == "list" else ""),
        body=body,
        start=_whole(given, "from"),
        end=_whole(given, "to"),
        steps=_whole(given, "steps") or 1,
        execute=_yes(given, "run", True),
        background=_yes(given, "background", False),
    )


def _body(tag: _Tag) -> str:
    if tag.kind == "run":
        fenced = _FENCE.match(tag.body)
        return (fenced.group(1) if fenced else tag.body).strip()
    body = tag.body.replace("\r\n", "\n")
    fenced = _FENCE.match(body)
    if (
        fenced and tag.kind == "write"
    ):  # models love fences; a file never starts with one unless it is Markdown
        body = body if tag.attributes.get("path", "").endswith((".md", ".markdown")) else fenced.group(1)
    body = body.removeprefix("\n")
    return body if not body or body.endswith("\n") else body + "\n"


def _whole(given: dict[str, str], name: str) -> int | None:
    if name not in given:
        return None
    if not given[name].isdigit() or int(given[name]) < 1:
        raise _Malformed(f"{name}={given[name]!r} is not a whole number from 1")
    return int(given[name])


def _yes(given: dict[str, str], name: str, default: bool) -> bool:
    value = given.get(name, "").lower()
    if not value:
        return default
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise _Malformed(f'{name}={value!r} is neither "yes" nor "no"')
