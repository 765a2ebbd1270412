"""Inserts milestone prints into a program and proves that nothing else has changed.

Takes source text, an annotator's marks and a tag; gives the program to run instead,
with a map back to the user's own line numbers. Whoever proposes the marks (a parser or
a language model), the tool writes the prints itself, so an annotator can't alter a
program; where the proof fails the program runs as it was written, without milestones.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..records import MILESTONES, Mark, Record

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_SUITES = ("body", "orelse", "finalbody", "handlers", "cases")
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_MAY_REPEAT = (ast.For, ast.AsyncFor, ast.While, ast.FunctionDef, ast.AsyncFunctionDef)


class Instrumented(Record):
    """A program with milestone prints, and how its lines lie in the original."""

    source: str
    """What to run."""
    tag: str
    marks: tuple[Mark, ...] = ()
    """Those that were inserted; lines are the original's."""
    lines: tuple[int, ...] = ()
    """Original line (1-based) of each line of `source`; an inserted line has that of the one before."""
    repeatable: tuple[str, ...] = ()
    """Milestones whose print may run more than once: inside a loop or a function."""
    path: str = "solution.py"

    def restore(self, text: str) -> str:
        """`text` with this program's line numbers, in tracebacks and warnings, those of the original."""
        name = re.escape(self.path.rsplit("/", 1)[-1])
        pattern = re.compile(
            rf'((?:File "(?:[^"\n]*/)?{name}", line )|(?:^(?:\S*/)?{name}:))(\d+)', re.MULTILINE
        )
        return pattern.sub(lambda found: found[1] + str(self.original(int(found[2]))), text)

    def original(self, line: int) -> int:
        """The original's number of line `line` of `source`; `line` itself when out of range."""
        return self.lines[line - 1] if 1 <= line <= len(self.lines) else line


def instrument(source: str, marks: Sequence[Mark], tag: str, path: str = "solution.py") -> Instrumented:
    """`source` with a print after each mark that has a place.

    A print stands on a line of its own right after the marked statement, or behind a
    semicolon in a one-line suite. Marks after which nothing can run (`return`) are
    left out. Whatever can't be proven harmless comes back as it was, without marks.
    """
    untouched = Instrumented(source=source, tag=tag, path=path)
    try:
        tree = _parse(source)
        if not marks or _rebinds_print(tree):
            return untouched
        result = _insert(source, tree, [m for m in marks if m.name in MILESTONES], untouched)
        if _without_prints(_parse(result.source), tag) != ast.dump(tree):
            return untouched
        _compile(result.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return untouched
    return result


def statement_for(name: str, tag: str) -> str:
    """The inserted statement."""
    return f'print("[mle:{tag}] {name}", flush=True)'


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _compile(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(source, "<instrumented>", "exec", dont_inherit=True)


def _rebinds_print(tree: ast.Module) -> bool:
    """A program with a `print` of its own could take ours for it, and fail."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print", ctx=ast.Store() | ast.Del()) | ast.arg(arg="print"):
                return True
            case ast.Attribute(attr="print", ctx=ast.Store() | ast.Del()):
                return True
            case (
                ast.FunctionDef(name="print")
                | ast.AsyncFunctionDef(name="print")
                | ast.ClassDef(name="print")
            ):
                return True
            case ast.alias(name=name, asname=asname) if "print" in (name, asname):
                return True
            case ast.MatchAs(name="print") | ast.MatchStar(name="print") | ast.ExceptHandler(name="print"):
                return True
    return False


@dataclass(frozen=True)
class _Place:
    """Where a statement lies: its chain of ancestors and the suite it is part of."""

    stmt: ast.stmt
    suite: Sequence[ast.stmt]
    parents: tuple[ast.AST, ...]


def _places(node: ast.AST, parents: tuple[ast.AST, ...] = ()) -> Iterator[_Place]:
    for field in _SUITES:
        value = getattr(node, field, None)
        children: list[ast.AST] = value if isinstance(value, list) else []
        suite = [child for child in children if isinstance(child, ast.stmt)]
        for child in children:
            if isinstance(child, ast.stmt):
                yield _Place(child, suite, (*parents, node))
            yield from _places(child, (*parents, node))


def _place_of(places: Iterable[_Place], line: int) -> _Place | None:
    """The innermost statement on `line`: a simple one, or a compound one that starts there."""
    found = [p for p in places if p.stmt.lineno <= line <= (p.stmt.end_lineno or p.stmt.lineno)]
    place = max(found, key=lambda p: (len(p.parents), p.stmt.lineno, p.stmt.col_offset), default=None)
    if place is None or (isinstance(place.suite[-1], _LEAVES) and place.stmt is place.suite[-1]):
        return None
    return place


class _Lines:
    """The source in physical lines (with their endings) and where logical lines start and end."""

    def __init__(self, source: str) -> None:
        self.text: list[str] = [line for line in _LINE.findall(source) if line]
        self.newline = "\r\n" if source.count("\r\n") * 2 > source.count("\n") else "\n"
        self.starts: list[int] = []
        self.ends: list[int] = []
        first = None
        for token in tokenize.generate_tokens(io.StringIO("".join(_plain(t) for t in self.text)).readline):
            if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
                continue
            first = first or token.start[0]
            if token.type == tokenize.NEWLINE:
                self.starts.append(first)
                self.ends.append(token.start[0])
                first = None

    def logical(self, row: int) -> int:
        """Index of the logical line that holds physical row `row` (1-based)."""
        return min(bisect_left(self.ends, row), len(self.ends) - 1)

    def indentation(self, row: int) -> str:
        """White space at the start of a physical row."""
        line: str = self.text[row - 1]
        return line[: len(line) - len(line.lstrip(" \t\f"))]


def _plain(line: str) -> str:
    return line.rstrip("\r\n") + "\n" if line.endswith(("\r", "\n")) else line


def _insert(source: str, tree: ast.Module, marks: Sequence[Mark], base: Instrumented) -> Instrumented:
    lines, places = _Lines(source), list(_places(tree))
    after: dict[int, list[str]] = {}
    inside: dict[tuple[int, int], list[str]] = {}
    kept: list[Mark] = []
    repeatable: list[str] = []
    for mark in sorted(marks, key=lambda m: (m.line, MILESTONES.index(m.name))):
        place = _place_of(places, mark.line)
        if place is None or mark.name in {m.name for m in kept}:
            continue
        kept.append(mark)
        if any(isinstance(parent, _MAY_REPEAT) for parent in place.parents):
            repeatable.append(mark.name)
        statement = statement_for(mark.name, base.tag)
        same_line = [s for s in place.suite if lines.logical(s.lineno) == lines.logical(place.stmt.lineno)]
        row = lines.starts[lines.logical(same_line[0].lineno)]
        if _leads(same_line[0], row, lines):
            end = lines.ends[lines.logical(place.stmt.end_lineno or row)]
            after.setdefault(end, []).append(lines.indentation(row) + statement)
        else:
            end_row, end_column = place.stmt.end_lineno or row, place.stmt.end_col_offset or 0
            inside.setdefault((end_row, end_column), []).append(statement)
    text, numbers = _assemble(lines, after, inside)
    return base.model_copy(
        update={"source": text, "marks": tuple(kept), "lines": numbers, "repeatable": tuple(repeatable)}
    )


def _leads(stmt: ast.stmt, row: int, lines: _Lines) -> bool:
    """Whether a statement begins its logical line; if not it stands in a one-line suite."""
    decorators = getattr(stmt, "decorator_list", [])
    return bool(decorators) or (
        stmt.lineno == row and stmt.col_offset == len(lines.indentation(row).encode())
    )


def _assemble(
    lines: _Lines, after: dict[int, list[str]], inside: dict[tuple[int, int], list[str]]
) -> tuple[str, tuple[int, ...]]:
    out: list[str] = []
    numbers: list[int] = []
    for row, line in enumerate(lines.text, start=1):
        for (_, column), statements in sorted((k, v) for k, v in inside.items() if k[0] == row)[::-1]:
            raw = line.encode()
            line = (raw[:column] + "".join(f"; {s}" for s in statements).encode() + raw[column:]).decode()
        prints = after.get(row, [])
        if prints and not line.endswith(("\r", "\n")):
            line += lines.newline
        out.append(line)
        out.extend(statement + lines.newline for statement in prints)
        numbers.extend([row] * (1 + len(prints)))
    return "".join(out), tuple(numbers)


def _without_prints(tree: ast.Module, tag: str) -> str:
    """The tree's dump after removing exactly the statements that `statement_for` writes."""
    ours = {ast.dump(_parse(statement_for(name, tag)).body[0]) for name in MILESTONES}
    for node in ast.walk(tree):
        for field in _SUITES:
            suite = getattr(node, field, None)
            if isinstance(suite, list):
                suite[:] = [s for s in suite if not (isinstance(s, ast.Expr) and ast.dump(s) in ours)]
    return ast.dump(tree)
