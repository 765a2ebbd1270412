"""The generator of synthetic tasks: `make_task(seed)` gives an ordinary, small task folder.

150–600 labelled rows, 240–320 test rows whose answers only the generator knows, one of some fifty
generating processes, a metric of the registry that fits, names and words of varying style. What program
is best depends on the process; the profile and the words tell it in part. Same seed, same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import synth_columns, synth_media, synth_numeric  # noqa: F401 - importing registers their processes
from .synth_answer import METRIC_WORDS, Answer, answer, sample_values
from .synth_base import FAMILIES, Column, Made, Problem, Rng
from .synth_dress import cells, dress, id_name, target_name

GENERATOR = 1
"""Version; raised whenever a seed gives other bytes, because frozen sets are named by seed."""
_TEST_ROWS = (240, 321)
_TITLES = ("Predict the {0}", "{0} prediction", "Which {0}?", "The {0} challenge", "Estimate {0}")


@dataclass(frozen=True)
class SynthTask:
    """A synthetic task: the folder's files, and what only the generator knows."""

    seed: int
    family: str
    problem: Problem
    metric: str
    files: Mapping[str, bytes]
    """description.md, train.csv, test.csv, sample_submission.csv."""
    answers: bytes
    """CSV of id and target for the rows of test.csv; never part of the folder."""
    hinted: bool
    """Whether the description says what kind of process it is."""

    @property
    def name(self) -> str:
        """A name without a clue."""
        return f"synth-{self.seed}"

    @property
    def content_hash(self) -> str:
        """Of all files and the answers, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, content in [*sorted(self.files.items()), ("answers", self.answers)]:
            digest.update(f"{name}:{len(content)}:".encode() + content)
        return digest.hexdigest()[:16]

    def write(self, folder: Path) -> Path:
        """Write the task folder (made if need be); gives it back."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder


def make_task(seed: int, family: str | None = None) -> SynthTask:
    """The task of a seed; `family` fixes the process, else it is drawn. Raises KeyError for unknown ones."""
    rng = np.random.Generator(np.random.PCG64([GENERATOR, seed]))
    names = sorted(FAMILIES)
    shares = np.array([FAMILIES[name].weight for name in names])
    drawn = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    chosen = FAMILIES[family or drawn]
    labelled = int(rng.integers(chosen.rows[0], chosen.rows[1] + 1))
    made = chosen.make(rng, labelled + int(rng.integers(*_TEST_ROWS)))
    given = answer(rng, made)
    columns = dress(rng, made)
    train, test = _split(rng, made, labelled)
    return _assemble(rng, seed, chosen.name, made, given, columns, train, test)


def _split(rng: Rng, made: Made, labelled: int) -> tuple[list[int], list[int]]:
    """Rows of the two tables; where there are groups, whole ones."""
    rows = len(made.signal)
    if made.groups is None:
        return list(range(labelled)), list(range(labelled, rows))
    test: set[int] = set()
    for group in rng.permutation(np.unique(made.groups)):
        if len(test) >= rows - labelled:
            break
        test.update(np.flatnonzero(made.groups == group).tolist())
    return [row for row in range(rows) if row not in test], sorted(test)


def _assemble(
    rng: Rng,
    seed: int,
    family: str,
    made: Made,
    given: Answer,
    columns: Mapping[str, Column],
    train: Sequence[int],
    test: Sequence[int],
) -> SynthTask:
    key = id_name(rng)
    target = target_name(rng, given.problem, {*columns, key})
    ids = [str(number) for number in int(rng.integers(0, 5000)) + np.arange(len(made.signal))]
    train_ids, test_ids = ids[: len(train)], ids[len(train) :]
    table = {name: cells(values) for name, values in columns.items()}
    truth = cells(given.target)
    hinted = bool(rng.random() < 0.5)
    submitted = [f"{target}_{name}" for name in given.classes] if given.by_class else [target]
    constants = [str(value) for value in sample_values(given, train)]
    files = {
        "description.md": _words(rng, made, given, key, target, hinted).encode(),
        "train.csv": _table([key, *table, target], train_ids, [*table.values(), truth], train),
        "test.csv": _table([key, *table], test_ids, list(table.values()), test),
        "sample_submission.csv": _csv([key, *submitted], [[name, *constants] for name in test_ids]),
    }
    answers = _table([key, target], test_ids, [truth], test)
    return SynthTask(seed, family, given.problem, given.metric, files, answers, hinted)


def _table(
    header: Sequence[str], ids: Sequence[str], columns: Sequence[Sequence[str]], rows: Sequence[int]
) -> bytes:
    return _csv(
        header, [[name, *(column[row] for column in columns)] for name, row in zip(ids, rows, strict=True)]
    )


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _words(rng: Rng, made: Made, given: Answer, key: str, target: str, hinted: bool) -> str:
    """The brief: what is asked, perhaps what is known of the process, how it is scored."""
    title = _TITLES[int(rng.integers(len(_TITLES)))].format(target)
    asked = f"Predict `{target}` for every row of test.csv, known by `{key}`."
    if given.by_class:
        asked += " Give a probability for each class."
    elif len(given.classes) == 2 and given.metric in ("roc_auc", "logloss", "brier", "average_precision"):
        asked += f" Give the probability that `{target}` is 1."
    known = f"\n\n{made.hint}" if hinted else ""
    scored = f"Submissions are evaluated on {METRIC_WORDS[given.metric]}."
    return f"# {title}\n\n{asked}{known}\n\n## Evaluation\n\n{scored}\n"
