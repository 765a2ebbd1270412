"""The default annotator: finds in a program's syntax tree where each milestone is reached.

Takes source text, gives marks (milestone, line). It follows the program in the order
in which it would run: through `main()`, functions called once, `if`, `try`, `with` and
loops; a milestone counts as reached at the first place where it *and those before it*
are done, so that honest claims always arrive in order. A mark on the first line of a
compound statement means: after the whole statement.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..records import MILESTONES, Mark
from . import vocabulary as words

_PLAIN_DECORATORS = {"staticmethod", "classmethod"}
_GRADIENT_NAMES = re.compile(r"lr|learning_rate|eta|grad\w*|dw|db")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class AstAnnotator:
    """Deterministic; the same source always gives the same marks."""

    name = "ast"

    def annotate(self, source: str) -> list[Mark]:
        """Marks in line order, at most one a milestone; [] for text that is no program."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
            events = _Walk(tree).block(tree.body, sure=True, up=None)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        return _choose(events)


@dataclass(frozen=True)
class _Event:
    """`name` is reached after `line`; `sure` unless it lies in a branch that may not run."""

    name: str
    line: int
    sure: bool


class _Walk:
    """Collects events in the order of execution."""

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        self.functions: dict[str, _Function] = {n.name: n for n in nodes if isinstance(n, _Function)}
        self.used = Counter(words.last_name(n) for n in nodes if isinstance(n, (ast.Name, ast.Attribute)))
        self.models = {n.name for n in nodes if isinstance(n, ast.ClassDef) and _is_model_class(n)}
        self.kinds = {
            words.last_name(target): words.last_name(n.value.func)
            for n in nodes
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call)
            for target in n.targets
        }
        self.open: list[str] = []
        self.loops = 0
        self.seen: dict[str, list[_Event]] = {}

    def block(self, body: Sequence[ast.stmt], sure: bool, up: int | None) -> list[_Event]:
        """Events of a suite; what a `return` reaches is reached at line `up`, that of the call."""
        return [event for stmt in body for event in self.statement(stmt, sure, up)]

    def statement(self, stmt: ast.stmt, sure: bool, up: int | None) -> list[_Event]:
        match stmt:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return []
            case ast.Import() | ast.ImportFrom():
                return [_Event(words.IMPORTED, stmt.end_lineno or stmt.lineno, sure)]
            case ast.If():
                return self.branches(stmt, sure, up)
            case ast.For() | ast.AsyncFor() | ast.While():
                return self.loop(stmt, sure, up)
            case ast.Try() | ast.TryStar():
                return self.attempt(stmt, sure, up)
            case ast.With() | ast.AsyncWith():
                inside = self.block(stmt.body, sure, up)
                return inside + self.expressions([i.context_expr for i in stmt.items], stmt.lineno, sure)
            case ast.Match():
                return [e for case in stmt.cases for e in self.block(case.body, False, up)]
            case ast.Return():
                return self.expressions([stmt.value], up, sure)
            case ast.Raise():
                return self.expressions([stmt.exc], None, sure)
        events = self.expressions(ast.iter_child_nodes(stmt), stmt.end_lineno, sure)
        if _steps_downhill(stmt):
            events.append(_Event(words.GRADIENT, stmt.end_lineno or stmt.lineno, sure))
        return events if self.loops else _finish_gradients(events)

    def branches(self, stmt: ast.If, sure: bool, up: int | None) -> list[_Event]:
        tested = self.expressions([stmt.test], stmt.lineno, sure)
        if words.mentions(stmt.test, "__name__"):
            return tested + self.block(stmt.body, sure, up)
        first = self.block(stmt.body, False, up)
        second = self.block(stmt.orelse, False, up)
        both = {e.name for e in first} & {e.name for e in second}
        either = [e for e in first + second if e.name not in both]
        return tested + either + [_Event(n, stmt.lineno, sure) for n in MILESTONES if n in both]

    def loop(self, stmt: ast.For | ast.AsyncFor | ast.While, sure: bool, up: int | None) -> list[_Event]:
        """A loop over folds or settings is followed inside; any other counts when it is over."""
        head = stmt.test if isinstance(stmt, ast.While) else stmt.iter
        events = self.expressions([head], stmt.lineno, sure)
        self.loops += 1
        events += self.block(stmt.body, sure, up)
        self.loops -= 1
        names = {e.name for e in events}
        fits = words.TRAINED in names and words.GRADIENT not in names
        if self.loops == 0 and fits and not isinstance(stmt, ast.While):
            return events + self.block(stmt.orelse, sure, up)
        after = [_Event(n, stmt.lineno, sure) for n in dict.fromkeys(e.name for e in events)]
        if self.loops == 0:
            after = _finish_gradients(after)
        return after + self.block(stmt.orelse, sure, up)

    def attempt(self, stmt: ast.Try | ast.TryStar, sure: bool, up: int | None) -> list[_Event]:
        events = self.block(stmt.body + stmt.orelse, sure, up)
        for handler in stmt.handlers:
            events += self.block(handler.body, False, up)
        events += self.block(stmt.finalbody, sure, up)
        if events and all(e.name == words.IMPORTED for e in events):
            return [_Event(words.IMPORTED, stmt.lineno, sure)]
        return events

    def expressions(self, nodes: Iterable[ast.AST | None], line: int | None, sure: bool) -> list[_Event]:
        """Events of expressions, arguments before the call that takes them."""
        events: list[_Event] = []
        for node in nodes:
            if node is None or isinstance(node, ast.Lambda):
                continue
            called = node.func if isinstance(node, ast.Call) else None
            children = [child for child in ast.iter_child_nodes(node) if child is not called]
            if isinstance(called, ast.Attribute):
                children.insert(0, called.value)
            events += self.expressions(children, line, sure)
            events += self.reached(node, line, sure)
        return events

    def reached(self, node: ast.AST, line: int | None, sure: bool) -> list[_Event]:
        names: tuple[str, ...] = ()
        if isinstance(node, ast.Call):
            local = words.last_name(node.func)
            if local in self.functions and not words.is_model(local):
                inside = self.call(local, line, sure)
                if inside:
                    return inside
            names = (words.DEFINED,) if local in self.models else words.call_means(node, self.kinds)
        elif isinstance(node, ast.Attribute) and node.attr in words.SCORE_ATTRIBUTES:
            names = (words.SCORED,)
        elif isinstance(node, ast.Name) and node.id in self.functions:
            # A function handed to another, as `study.optimize(objective)` does, is run by it.
            return self.call(node.id, line, sure, inline=False)
        return [_Event(name, line, sure) for name in names] if line else []

    def call(self, name: str, line: int | None, sure: bool, inline: bool = True) -> list[_Event]:
        """Events of calling a function of this program: inside it when that is its only use."""
        function = self.functions[name]
        if name in self.open or len(self.open) > 20:
            return []
        plain = {words.last_name(d) for d in function.decorator_list} <= _PLAIN_DECORATORS
        if inline and plain and self.used[name] == 1:
            self.open.append(name)
            events = self.block(function.body, sure, line)
            self.open.pop()
            return events
        if name not in self.seen:
            self.open.append(name)
            self.loops += 1
            self.seen[name] = self.block(function.body, True, 1)
            self.loops -= 1
            self.open.pop()
        reached = dict.fromkeys(e.name for e in self.seen[name])
        events = [_Event(n, line, sure) for n in reached if n != words.IMPORTED] if line else []
        return events if self.loops else _finish_gradients(events)


def _is_model_class(node: ast.ClassDef) -> bool:
    bases = {words.last_name(base) for base in node.bases}
    if any("Dataset" in base or words.is_transformer(base) for base in bases):
        return False
    methods = {f.name for f in node.body if isinstance(f, _Function)}
    return (
        bool(bases & {"Module", "BaseEstimator"}) or any(map(words.is_model, bases)) or "predict" in methods
    )


def _steps_downhill(stmt: ast.stmt) -> bool:
    """`w -= lr * gradient`: a training step by hand."""
    return isinstance(stmt, ast.AugAssign) and any(
        isinstance(n, ast.Name) and _GRADIENT_NAMES.fullmatch(n.id) for n in ast.walk(stmt.value)
    )


def _finish_gradients(events: list[_Event]) -> list[_Event]:
    return [replace(e, name=words.TRAINED) if e.name == words.GRADIENT else e for e in events]


def _choose(events: list[_Event]) -> list[Mark]:
    """One place a milestone: never before that of an earlier milestone."""
    marks: list[Mark] = []
    position = 0
    for name in MILESTONES:
        index = _first(events, name, position)
        if index is None:
            continue
        position = max(position, index)
        marks.append(Mark(name=name, line=events[position].line))
    return sorted(marks, key=lambda mark: mark.line)


def _first(events: list[_Event], name: str, start: int) -> int | None:
    """Index of the event that stands for `name`; a sure one before one in a branch."""
    if name == words.IMPORTED:
        rest = next((i for i, e in enumerate(events) if e.name != name), len(events))
        head = [i for i, e in enumerate(events[:rest]) if e.name == name]
        return max([i for i in head if events[i].sure] or head, default=None)
    found = [i for i, e in enumerate(events) if e.name == name]
    found = [i for i in found if events[i].sure] or found
    if name in {words.LOADED, words.DEFINED, words.TRAINED}:
        return found[0] if found else None
    later = [i for i in found if i >= start]
    if name == words.SCORED:
        later = later or [i for i in range(start, len(events)) if events[i].name == words.WEAK_SCORED]
        return next(iter(later or found), None)
    weak = {words.PREDICTED: words.WEAK_PREDICTED, words.SAVED: words.WEAK_SAVED}[name]
    scored = {e.line for e in events if e.name == words.SCORED}
    guesses = [i for i, e in enumerate(events) if e.name == weak and i >= start and e.line not in scored]
    return later[0] if later else guesses[-1] if guesses else found[0] if found else None
