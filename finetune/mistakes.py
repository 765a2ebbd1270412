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


def _no_import(text: str, rng: Random) -> str | None:
    return _pick(r"^from sklearn\..*\n", text, rng, lambda _m: "")


def _wrong_module(text: str, rng: Random) -> str | None:
    wrong = ("sklearn.models", "sklearn.ensembles", "sklearn.preprocess", "sklearn.utils")
    return _pick(r"^from (sklearn\.[a-z_.]+)", text, rng, lambda _m: f"from {rng.choice(wrong)}")


def _wrong_file(text: str, rng: Random) -> str | None:
    wrong = ("train_data.csv", "data/train.csv", "submission_sample.csv", "tests.csv")
    return _pick(r'read_csv\("[a-z_]+\.csv"', text, rng, lambda _m: f'read_csv("{rng.choice(wrong)}"')


def _wrong_column(text: str, rng: Random) -> str | None:
    wrong = ('train.pop("target")', 'train.pop("label")', 'train.pop("y")')
    return _pick(r"train\.pop\(.*\)$", text, rng, lambda _m: rng.choice(wrong))


def _no_imputer(text: str, rng: Random) -> str | None:
    return _pick(r"SimpleImputer\([^()]*\), ", text, rng, lambda _m: "")


def _no_dummies(text: str, rng: Random) -> str | None:
    return _pick(r"^X = pd\.get_dummies\(X\)\n", text, rng, lambda _m: "")


def _wrong_rows(text: str, rng: Random) -> str | None:
    return _pick(r"predict(?:_proba)?\(B\)", text, rng, lambda m: m.group().replace("B", "A"))


def _wrong_shape(text: str, rng: Random) -> str | None:
    return _pick(r"predict_proba\(B\)\[:, 1\]", text, rng, lambda _m: "predict_proba(B)")


def _no_proba(text: str, rng: Random) -> str | None:
    return _pick(r"predict_proba\(B\)(?!\[)", text, rng, lambda _m: "predict_proba(B)[:, 1]")


def _not_saved(text: str, rng: Random) -> str | None:
    return _pick(r"^sub\.to_csv.*\n", text, rng, lambda _m: "")


def _saved_elsewhere(text: str, rng: Random) -> str | None:
    return _pick(r'to_csv\("submission\.csv"', text, rng, lambda _m: 'to_csv("sub.csv"')


def _with_index(text: str, rng: Random) -> str | None:
    return _pick(r", index=False\)", text, rng, lambda _m: ")")


def _not_fitted(text: str, rng: Random) -> str | None:
    return _pick(r"^model\.fit\(A, y\)\n", text, rng, lambda _m: "")


def _unclosed(text: str, rng: Random) -> str | None:
    return _pick(r"\)$", text, rng, lambda _m: "")


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


def _undefined(text: str, rng: Random) -> str | None:
    return _pick(r"^np\.random\.seed\(0\)\n|^A, B = .*\n|^num = .*\n|^cat = .*\n", text, rng, lambda _m: "")


DAMAGE: dict[str, Damage] = {
    "no-import": _no_import, "wrong-module": _wrong_module, "wrong-file": _wrong_file,
    "wrong-column": _wrong_column, "no-imputer": _no_imputer, "no-dummies": _no_dummies,
    "wrong-rows": _wrong_rows, "wrong-shape": _wrong_shape, "no-proba": _no_proba, "not-saved": _not_saved,
    "saved-elsewhere": _saved_elsewhere, "with-index": _with_index, "not-fitted": _not_fitted,
    "unclosed": _unclosed, "misspelt": _misspelt, "unknown-argument": _unknown_argument,
    "other-kind": _other_kind, "undefined": _undefined,
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
