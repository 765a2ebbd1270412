"""Generating processes in texts, in images laid out as a table, and in spectra and waveforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from .synth_base import Column, Floats, Ints, Made, Rng, family, standard, weights
from .synth_columns import mixed_effects

_GOOD = (
    "great lovely solid quick friendly fresh clean perfect bright helpful smooth charming reliable "
    "pleasant superb sturdy"
).split()
_BAD = (
    "awful broken slow rude stale dirty wrong dull useless noisy faulty boring fragile bitter late clumsy"
).split()
_PLAIN = (
    "the a this that our order room service product box screen staff table price team door phone cable "
    "weather morning evening street window engine paper report garden train music coffee dinner letter "
    "arrived came looked felt was seems with after before without near during again today yesterday "
    "then also while under very quite rather always"
).split()
_TOPICS = (
    "match goal league player coach season stadium cup".split(),
    "market shares profit bank trade budget tax loan".split(),
    "galaxy orbit planet star telescope comet rocket moon".split(),
    "recipe oven butter flour onion sauce garlic baked".split(),
    "patient doctor clinic fever vaccine nurse therapy pulse".split(),
)
_ROOTS = "bran dol fer gal him jost kal lum mon nar pel quor rad sim tov ulm ver wex yor zan".split()
_ENDS = "ic ous tion ment able ling ward esk".split()


def _plain(rng: Rng, low: int, high: int) -> list[str]:
    return [str(word) for word in rng.choice(_PLAIN, int(rng.integers(low, high)))]


@family("keywords", weight=1.5)
def keywords(rng: Rng, rows: int) -> Made:
    """Reviews whose good and bad words decide; some words weigh more."""
    force = dict(zip(_GOOD + _BAD, np.r_[rng.uniform(0.5, 1.5, 16), -rng.uniform(0.5, 1.5, 16)], strict=True))
    texts: list[str | None] = []
    signal = np.zeros(rows)
    for row in range(rows):
        lean = rng.uniform(0.1, 0.9)
        used = [
            str(rng.choice(_GOOD if rng.random() < lean else _BAD)) for _ in range(int(rng.integers(1, 6)))
        ]
        words = _plain(rng, 5, 16) + used
        texts.append(" ".join(words[place] for place in rng.permutation(len(words))))
        signal[row] = sum(force[word] for word in used)
    return Made({"review": texts}, signal, "The words people use show their mood.")


@family("topics")
def topics(rng: Rng, rows: int) -> Made:
    """Short notes on one of a few topics."""
    count = int(rng.integers(3, 6))
    topic = rng.integers(0, count, rows)
    texts: list[str | None] = []
    for row in range(rows):
        own = [str(word) for word in rng.choice(_TOPICS[topic[row]], int(rng.integers(1, 4)))]
        stray = [str(rng.choice(_TOPICS[rng.integers(count)]))] if rng.random() < 0.35 else []
        words = _plain(rng, 4, 12) + own + stray
        texts.append(" ".join(words[place] for place in rng.permutation(len(words))))
    return Made(
        {"text": texts},
        topic.astype(float),
        "Notes on different subjects.",
        problems=("multiclass",),
        classes=topic,
    )


@family("style")
def style(rng: Rng, rows: int) -> Made:
    """How something is written matters: length, exclamation marks, capitals."""
    count, marks = rng.integers(4, 40, rows), rng.integers(0, 5, rows)
    loud = rng.random(rows) < 0.3
    texts: list[str | None] = []
    for row in range(rows):
        words = [str(word) for word in rng.choice(_PLAIN, count[row])]
        if loud[row]:
            words = [word.upper() if rng.random() < 0.4 else word for word in words]
        texts.append(" ".join(words) + "!" * int(marks[row]))
    signal = standard(count.astype(float)) + 0.6 * marks * rng.choice([-1, 1]) + 1.2 * loud
    return Made({"message": texts}, signal, "How it is written matters more than what is written.")


@family("affixes")
def affixes(rng: Rng, rows: int) -> Made:
    """Made-up names whose endings and inner parts carry meaning."""
    ends, roots = rng.normal(size=len(_ENDS)), 0.5 * rng.normal(size=len(_ROOTS))
    texts: list[str | None] = []
    signal = np.zeros(rows)
    for row in range(rows):
        words = []
        for _ in range(int(rng.integers(3, 6))):
            a, b, c = rng.integers(len(_ROOTS)), rng.integers(len(_ROOTS)), rng.integers(len(_ENDS))
            words.append(_ROOTS[a] + _ROOTS[b] + _ENDS[c])
            signal[row] += ends[c] + roots[a]
        texts.append(" ".join(words))
    return Made({"compound": texts}, signal, "Parts of the words carry the meaning.")


@family("negation")
def negation(rng: Rng, rows: int) -> Made:
    """`not good` is bad: pairs of words matter."""
    texts: list[str | None] = []
    signal = np.zeros(rows)
    for row in range(rows):
        pieces = [[word] for word in _plain(rng, 4, 12)]
        for _ in range(int(rng.integers(1, 4))):
            good, turned = rng.random() < 0.5, rng.random() < 0.4
            word = str(rng.choice((_GOOD if good else _BAD)[:8]))
            pieces.append(["not", word] if turned else [word])
            signal[row] += 1.0 if good != turned else -1.0
        texts.append(" ".join(word for place in rng.permutation(len(pieces)) for word in pieces[place]))
    return Made({"comment": texts}, signal, "Mind the word not.")


@family("text-and-table", weight=1.3)
def text_and_table(rng: Rng, rows: int) -> Made:
    """Words, a kind and some numbers, each with a share in the outcome."""
    columns, linear = mixed_effects(rng, rows)
    made = keywords(rng, rows) if rng.random() < 0.6 else style(rng, rows)
    signal = standard(made.signal) * rng.uniform(0.8, 1.6) + standard(linear)
    return Made({**made.columns, **columns}, signal, "Both the text and the numbers tell something.")


# --- images ---------------------------------------------------------------------


def _pixels(images: Floats, rng: Rng, noise: float) -> dict[str, Column]:
    """Images (rows, side, side) in 0..1 as columns of grey values 0..255."""
    noisy = images + noise * rng.normal(size=images.shape)
    grey = np.clip(np.round(255 * noisy), 0, 255).astype(np.int64).reshape(len(images), -1)
    return {f"pixel_{place}": grey[:, place] for place in range(grey.shape[1])}


def _image(columns: dict[str, Column], signal: Floats, hint: str, **more: object) -> Made:
    made = Made(columns, signal, hint, rescale=False, extras=False, keep_names=True)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def _shape(kind: int, size: int) -> Floats:
    """A small picture: a square, a cross, a ring, a diagonal."""
    picture = np.zeros((size, size))
    middle = size // 2
    if kind == 0:
        picture[0, :] = picture[-1, :] = picture[:, 0] = picture[:, -1] = 1
    elif kind == 1:
        picture[middle, :] = picture[:, middle] = 1
    elif kind == 2:
        picture[:] = 1
    elif kind == 3:
        np.fill_diagonal(picture, 1)
        picture = np.maximum(picture, picture[:, ::-1])
    else:
        picture[middle:, :] = 1
    return picture


@family("shapes", rows=(250, 600))
def shapes(rng: Rng, rows: int) -> Made:
    """One shape somewhere in the image."""
    side, size, kinds = int(rng.integers(8, 11)), 5, int(rng.integers(2, 5))
    images, classes = np.zeros((rows, side, side)), rng.integers(0, kinds, rows)
    which = rng.permutation(5)[:kinds]
    for row in range(rows):
        top, left = rng.integers(0, side - size + 1, 2)
        images[row, top : top + size, left : left + size] = _shape(int(which[classes[row]]), size)
    return _image(
        _pixels(images * rng.uniform(0.5, 1, size=(rows, 1, 1)), rng, 0.12),
        classes.astype(float),
        "Shapes may lie anywhere in the image.",
        classes=classes,
        problems=("binary",) if kinds == 2 else ("multiclass",),
    )


_SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcfgd")


def _digit(number: int, width: int) -> Floats:
    """A digit of seven segments, 2·width−1 high."""
    picture = np.zeros((2 * width - 1, width))
    lines: dict[str, Any] = {
        "a": (0, slice(None)),
        "g": (width - 1, slice(None)),
        "d": (-1, slice(None)),
        "f": (slice(0, width), 0),
        "b": (slice(0, width), -1),
        "e": (slice(width - 1, None), 0),
        "c": (slice(width - 1, None), -1),
    }
    for name in _SEGMENTS[number]:
        picture[lines[name]] = 1
    return picture


@family("digits", rows=(250, 600))
def digits(rng: Rng, rows: int) -> Made:
    """Digits, shifted a little and noisy."""
    side, width = 9, 4
    chosen = np.sort(rng.permutation(10)[: int(rng.integers(4, 9))])
    classes = rng.integers(0, len(chosen), rows)
    images = np.zeros((rows, side, side))
    for row in range(rows):
        top, left = rng.integers(0, 3), rng.integers(1, 5)
        images[row, top : top + 7, left : left + width] = _digit(int(chosen[classes[row]]), width)
    dropped = images * (rng.random(images.shape) > 0.1)
    return _image(
        _pixels(dropped, rng, 0.25),
        classes.astype(float),
        "Digits from a worn display.",
        classes=classes,
        problems=("multiclass",),
    )


@family("stripes")
def stripes(rng: Rng, rows: int) -> Made:
    """Stripes: how fine they are, or which way they run, wherever they start."""
    side = int(rng.integers(8, 13))
    u, v = np.meshgrid(np.arange(side), np.arange(side))
    angle, pitch, phase = rng.uniform(0, np.pi, rows), rng.uniform(2.5, 6, rows), rng.uniform(0, 6.28, rows)
    fine = rng.random() < 0.5
    if fine:
        angle = np.full(rows, angle[0])
    else:
        pitch = np.full(rows, pitch[0])
        angle = angle / 2
    along = np.cos(angle)[:, None, None] * u + np.sin(angle)[:, None, None] * v
    images = 0.5 + 0.5 * np.sin(2 * np.pi * along / pitch[:, None, None] + phase[:, None, None])
    return _image(_pixels(images, rng, 0.1), pitch if fine else angle, "A texture; its phase means nothing.")


@family("blobs")
def blobs(rng: Rng, rows: int) -> Made:
    """How many bright spots there are."""
    side = int(rng.integers(8, 12))
    count = rng.integers(1, 8, rows)
    images = np.zeros((rows, side, side))
    for row in range(rows):
        for _ in range(int(count[row])):
            top, left = rng.integers(0, side - 1, 2)
            images[row, top : top + 2, left : left + 2] = 1
    return _image(
        _pixels(images * 0.8, rng, 0.08),
        count.astype(float),
        "Count the bright spots.",
        problems=("regression", "ordinal"),
    )


@family("regions")
def regions(rng: Rng, rows: int) -> Made:
    """Bright patches; the balance of two regions matters."""
    side = int(rng.integers(8, 11))
    coarse = rng.uniform(0, 1, size=(rows, 4, 4))
    images = np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)[:, :side, :side]
    chosen = rng.choice(4, 2, replace=False), rng.choice(4, 2, replace=False)
    parts = coarse[:, chosen[0][0] % 3, chosen[1][0] % 3], coarse[:, chosen[0][1] % 3, chosen[1][1] % 3]
    signal = parts[0] - parts[1] if rng.random() < 0.5 else np.abs(parts[0] - parts[1])
    return _image(_pixels(images, rng, 0.1), signal, "Compare the brightness of regions.")


# --- spectra and waveforms --------------------------------------------------------


def _curves(values: Floats, prefix: str, start: int, step: int) -> dict[str, Column]:
    return {
        f"{prefix}{start + step * place}": np.round(values[:, place], 4) for place in range(values.shape[1])
    }


@family("spectra", rows=(150, 300), weight=1.3)
def spectra(rng: Rng, rows: int) -> Made:
    """Peaks on a drifting base line; the height of some peaks is what is asked."""
    count = int(rng.integers(60, 100))
    place = np.linspace(0, 1, count)
    peaks = np.sort(rng.uniform(0.08, 0.92, 5))
    wide = rng.uniform(0.02, 0.05, 5)
    heights = rng.uniform(0.2, 1.0, size=(rows, 5))
    curves = heights @ np.exp(-((place - peaks[:, None]) ** 2) / wide[:, None] ** 2)
    drift = rng.normal(size=(rows, 1), scale=1.5) + rng.normal(size=(rows, 1), scale=1.5) * place
    gain = np.exp(rng.normal(size=(rows, 1), scale=0.25)) if rng.random() < 0.6 else 1.0
    x = gain * (curves + drift) + 0.01 * rng.normal(size=(rows, count))
    signal = heights @ (weights(rng, 5) * (rng.random(5) < 0.6) + [0.4, 0, 0, 0, 0])
    return _image(_curves(x, "wl_", 400, 5), signal, "Spectra on a base line that drifts.")


@family("waveforms", rows=(200, 500))
def waveforms(rng: Rng, rows: int) -> Made:
    """Noisy oscillations with any phase; how fast or how strong they are is asked."""
    count = int(rng.integers(48, 65))
    time = np.arange(count)
    speed, phase, size = (
        rng.uniform(0.08, 0.35, rows),
        rng.uniform(0, 6.28, rows),
        rng.uniform(0.3, 1.5, rows),
    )
    x = size[:, None] * np.sin(2 * np.pi * speed[:, None] * time + phase[:, None])
    x = x + 0.2 * rng.normal(size=x.shape)
    signal = speed if rng.random() < 0.6 else size
    return _image(_curves(x, "t", 0, 1), signal, "Vibrations; the phase is arbitrary.")


@family("sensors")
def sensors(rng: Rng, rows: int) -> Made:
    """Three to five sensors with a level and a rough trend over eight moments each."""
    count = int(rng.integers(6, 8))
    kinds: Ints = np.arange(count)
    levels, slopes = rng.normal(size=(rows, count)), rng.normal(size=(rows, count))
    columns: dict[str, Column] = {}
    for kind in kinds:
        for moment in range(8):
            value = levels[:, kind] + slopes[:, kind] * moment / 4 + 0.3 * rng.normal(size=rows)
            columns[f"s{kind}_t{moment}"] = np.round(value, 3)
    signal = slopes @ (weights(rng, count) * (kinds < 2)) + 0.5 * levels[:, 2]
    return _image(columns, signal, "Change over time matters more than the level.")
