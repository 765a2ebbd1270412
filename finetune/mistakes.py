"""Mistakes for the expert to make: small damage to a right program, of the kinds models really make.

Takes a program's text and a seeded generator, gives a damaged text that differs, or None where a kind of
damage does not apply. Whether it fails, and how, is for the sandbox to say. The replies that hold a mistake
are never trained on; the repairs that follow are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

Damage = Callable[[str, Random], str | None]


def _pick(pattern: str, text: str, rng: Random, change: Callable[[re.Match[str]], str]) -> str | None:
    found = list(re.finditer(pattern, text, re.MULTILINE))
    if not found:
        return None
    match = rng.choice(found)
    return text[: match.start()] + change(match) + text[match.end() :]


def _replaced(pattern: str, *becomes: str) -> Damage:
    """One of the places where `pattern` stands becomes one of these texts."""

    def damage(text: str, rng: Random) -> str | None:
        other = (lambda _m: rng.choice(becomes)) if len(becomes) > 1 else lambda _m: becomes[0]
        return _pick(pattern, text, rng, other)

    return damage


def _wrong_rows(text: str, rng: Random) -> str | None:
    return _pick(r"predict(?:_proba)?\(B\)", text, rng, lambda m: m.group().replace("B", "A"))


def _misspelt(text: str, rng: Random) -> str | None:
    wrong = {"fit(": "fitt(", "predict": "predit", "concat": "concatenate", "to_csv": "write_csv"}
    return _pick(r"\.(fit\(|predict|concat|to_csv)", text, rng, lambda m: "." + wrong[m.group(1)])


def _unknown_argument(text: str, rng: Random) -> str | None:
    wrong = ("n_jobs_total=1", "verbosity_level=0", "random_seed=0", "epochs=10")
    models = r"(Ridge|Classifier|Regressor|SVR|SVC|LogisticRegression|Imputer|Scaler)\(\)"
    return _pick(models, text, rng, lambda m: f"{m.group(1)}({rng.choice(wrong)})")


def _other_kind(text: str, rng: Random) -> str | None:
    if "predict_proba" in text:
        return _pick(r"Classifier\(", text, rng, lambda _m: "Regressor(")
    return _pick(r"Regressor\(", text, rng, lambda _m: "Classifier(")


DAMAGE: dict[str, Damage] = {
    "no-import": _replaced(r"^import (?:sklearn|pandas as pd|numpy as np)\n|^from .*\n", ""),
    "no-module": _replaced(r"\bsklearn\.[a-z_.]+\.(?=[A-Za-z_]+\()", "", "sklearn."),
    "wrong-module": _replaced(
        r"\bsklearn\.[a-z_.]+\.(?=[A-Za-z_]+\()", "sklearn.models.", "sklearn.ensembles.",
        "sklearn.preprocess.", "sklearn.utils.", "sklearn.linear_model.", "sklearn.model_selection.",
    ),
    "wrong-file": _replaced(
        r'read_csv\("[a-z_]+\.csv"', 'read_csv("train_data.csv"', 'read_csv("data/train.csv"',
        'read_csv("submission_sample.csv"', 'read_csv("tests.csv"',
    ),
    "wrong-column": _replaced(
        r"train\.pop\(.*\)$", 'train.pop("target")', 'train.pop("label")', 'train.pop("y")'
    ),
    "no-imputer": _replaced(r"sklearn\.impute\.SimpleImputer\([^()]*\), ", ""),
    "no-dummies": _replaced(r"^X = pd\.get_dummies\(X\)\n", ""),
    "wrong-rows": _wrong_rows,
    "wrong-shape": _replaced(r"predict_proba\(B\)\[:, 1\]", "predict_proba(B)"),
    "no-proba": _replaced(r"predict_proba\(B\)(?!\[)", "predict_proba(B)[:, 1]"),
    "not-saved": _replaced(r"^sub\.to_csv.*\n", ""),
    "saved-elsewhere": _replaced(r'to_csv\("submission\.csv"', 'to_csv("sub.csv"'),
    "with-index": _replaced(r", index=False\)", ")"),
    "not-fitted": _replaced(r"^model\.fit\(A, y\)\n", ""),
    "unclosed": _replaced(r"\)$", ""),
    "misspelt": _misspelt,
    "unknown-argument": _unknown_argument,
    "other-kind": _other_kind,
    "undefined": _replaced(r"^np\.random\.seed\(0\)\n|^A, B = .*\n|^num = .*\n|^cat = .*\n", ""),
}  # fmt: skip


def damaged(text: str, rng: Random) -> tuple[str, str] | None:
    """(kind, damaged text) of a kind drawn among those that apply; None when none does."""
    kinds = list(DAMAGE)
    rng.shuffle(kinds)
    for kind in kinds:
        wrong = DAMAGE[kind](text, rng)
        if wrong is not None and wrong != text:
            return kind, wrong
    return None


def malformed(reply: str, rng: Random) -> str:
    """A reply no parser takes: the action's tag is left open, misspelt or missing."""
    return rng.choice((
        reply.replace("</write>", ""),
        reply.replace("<write", "<wrote").replace("</write>", "</wrote>"),
        reply.split("<write")[0],
        reply.replace('<write path="solution.py">', "<write>"),
    ))  # fmt: skip
