"""The playbook: an expert without a language model (`policy.PlaybookPolicy`).

Ideas live in `library`; `compose` makes a program of some; `policy` chooses
which. Importing this package imports nothing heavy.
"""

from .compose import Program, compose
from .idea import Choice, Draft, Idea
from .library import IDEAS, get, ideas_for
from .policy import PlaybookPolicy

__all__ = ["IDEAS", "Choice", "Draft", "Idea", "PlaybookPolicy", "Program", "compose", "get", "ideas_for"]
