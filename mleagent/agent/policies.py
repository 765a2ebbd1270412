"""What a session notes of its policy, and whether another one can go on with its prompts."""

from __future__ import annotations

from ..protocols import Adapted, Policy, Styled
from ..records import Session


def style_of(policy: Policy) -> str:
    """The style of prompts it reads: `full`, or `compact` for models of a few million weights."""
    return policy.prompt_style if isinstance(policy, Styled) else "full"


def fits(policy: Policy, style: str) -> bool:
    """Whether it can go on with prompts of that style: one trained on compact prompts reads no other."""
    return style_of(policy) == "full" or style == "compact"


def signed(session: Session, policy: Policy, style: str = "") -> Session:
    """The session as one whose latest step is by this policy, with the style of the prompts so far."""
    adapter = policy.adapter if isinstance(policy, Adapted) else ""
    settings = {**session.settings, "prompt_style": style} if style else session.settings
    return session.model_copy(update={"policy": policy.name, "adapter": adapter, "settings": settings})
