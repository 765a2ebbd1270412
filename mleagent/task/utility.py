"""Utility: a score mapped to 0..1, with its standard error and paired differences.

Takes measured scores (score + deviations, see `stderr`) of a submission and of the best
constant prediction on the same rows; gives u = clip((s - s_dummy) / (s_opt - s_dummy), 0, 1)
(DESIGN §5). The dummy is itself measured on those rows, so its noise counts too, by the
delta method: du = (ds - (1 - u) ds_dummy) / (s_opt - s_dummy).
"""

from __future__ import annotations

from .stderr import Floats, Measured, norm


def utility(score: float, dummy: float, optimum: float) -> float:
    """Share of the way from the best constant's score to the optimum, clipped to 0..1.

    Where the best constant is already perfect, only a perfect score has utility 1.
    """
    span = optimum - dummy
    if span == 0:
        return 1.0 if score == optimum else 0.0
    return min(1.0, max(0.0, (score - dummy) / span))


def utility_deviations(measured: Measured, dummy: Measured, optimum: float) -> Floats:
    """Deviations of the (unclipped) utility; their norm is its standard error."""
    span = optimum - dummy.score
    if span == 0:
        return measured.deviations * 0.0
    share = (measured.score - dummy.score) / span
    return (measured.deviations - (1.0 - share) * dummy.deviations) / span


def utility_and_error(measured: Measured, dummy: Measured, optimum: float) -> tuple[float, float | None]:
    """Utility and its standard error."""
    value = utility(measured.score, dummy.score, optimum)
    return value, norm(utility_deviations(measured, dummy, optimum))


def paired_difference(
    new: Measured, old: Measured, dummy: Measured, optimum: float
) -> tuple[float, float | None]:
    """Utility of `new` minus that of `old`, and its standard error, paired on the same rows."""
    delta = utility(new.score, dummy.score, optimum) - utility(old.score, dummy.score, optimum)
    spread = utility_deviations(new, dummy, optimum) - utility_deviations(old, dummy, optimum)
    return delta, norm(spread)
