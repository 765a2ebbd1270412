"""What a session notes of its policy, and whether another one can go on with its prompts."""

from __future__ import annotations

from typing import Any

from ..protocols import Adapted, Policy, Styled


def style_of(policy: Policy) -> str:
    """The style of prompts it reads: `full`, or `compact` for models of a few million weights."""
    return policy.prompt_style if isinstance(policy, Styled) else "full"


def fits(policy: Policy, style: str) -> bool:
    """Whether it can go on with prompts of that style: one trained on compact prompts reads no other."""
    return style_of(policy) == "full" or style == "compact"


def noted(policy: Policy) -> dict[str, Any]:
    """The fields of a Session that say who its steps are by."""
    return {"policy": policy.name, "adapter": policy.adapter if isinstance(policy, Adapted) else ""}
