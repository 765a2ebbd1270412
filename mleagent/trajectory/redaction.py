"""Secrets taken out of a text before it enters a prompt or the log.

`redact` gives the text back with each secret replaced by `[REDACTED:<kind>]` and
says which kinds it met. Known key formats are recognised by their prefix; values
of variables named like secrets by the name and by looking random, so that hash
columns, UUIDs, `max_tokens=2048` and `pad_token='[PAD]'` stay as they are.

Redacting twice changes nothing. Each rule runs only where one of its literal
needles occurs, which keeps ordinary text of 10 kB well under a millisecond.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from ..records import Record

_MARK = "[REDACTED:"


class Redacted(Record):
    """A text without its secrets."""

    text: str
    kinds: tuple[str, ...] = ()
    """Kinds of secrets replaced, sorted, each once; empty when the text was clean."""


class _Rule(NamedTuple):
    kind: str
    needles: tuple[str, ...]
    """Lower-case literals; without one of them in the lower-cased text the rule can't match."""
    pattern: re.Pattern[str]
    """The group `secret` is what gets replaced."""
    accept: Callable[[re.Match[str]], bool] = lambda match: True


def _mixed(match: re.Match[str]) -> bool:
    """Digits and capitals, or 32 hex digits in a row: a key, not words joined by hyphens."""
    text = match["secret"]
    capital = any(char.isupper() for char in text)
    return any(char.isdigit() for char in text) and (capital or bool(re.search(r"[0-9a-f]{32}", text)))


def _has_digit(match: re.Match[str]) -> bool:
    return any(char.isdigit() for char in match["secret"])


_PLACEHOLDERS = frozenset(
    (
        "none", "null", "nil", "true", "false", "password", "passwd", "secret", "token", "api_key", "apikey",
        "str", "string", "optional", "required", "changeme", "example", "placeholder", "empty", "undefined",
    )
)  # fmt: skip
_PLACEHOLDER_START = ("<", "$", "{", "%", "your", "my_", "xxx", "***", "...", "env:", _MARK.lower())


def _unquoted(match: re.Match[str]) -> str:
    return match["secret"].strip("\"'")


def _is_placeholder(value: str) -> bool:
    lower = value.lower()
    return lower in _PLACEHOLDERS or lower.startswith(_PLACEHOLDER_START) or len(set(value)) <= 2


def _turns(value: str) -> int:
    """How often letters and digits alternate, other characters left out."""
    classes = [char.isdigit() for char in value if char.isalnum()]
    return sum(a != b for a, b in pairwise(classes))


def _entropy(value: str) -> float:
    """Shannon entropy of the characters, bits each."""
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)


def _is_code(match: re.Match[str]) -> bool:
    """An unquoted value that is an expression: a call, an index, an attribute, a plain name."""
    end = match.end("secret")
    following = match.string[end : end + 1]
    value = match["secret"]
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z_.]*", value) is not None
    return following in ("(", "[") or plain or re.fullmatch(r"-?[\d._]+(e-?\d+)?[smhd%]?", value) is not None


def _password(match: re.Match[str]) -> bool:
    value = _unquoted(match)
    if _is_placeholder(value):
        return False
    if match["secret"][0] in "\"'":
        return not re.search(r"\s", value)
    following = match.string[match.end() : match.end() + 1]
    return (_is_environment(match) and following not in ("(", "[")) or not _is_code(match)


def _is_environment(match: re.Match[str]) -> bool:
    """`DB_PASSWORD=...` at the start of a line, as in shells and .env files."""
    before = match.string[max(0, match.start() - 60) : match.start()]
    shell = re.search(r"(?:^|\n)(?:export )?[A-Z0-9_]*\Z", before) is not None
    return shell and match["name"].isupper() and match["gap"] == "="


def _secret_value(match: re.Match[str]) -> bool:
    value = _unquoted(match)
    before = match.string[max(0, match.start() - 10) : match.start()]
    if match["name"][:3].lower() == "key" and not _KEY_OF.search(before):
        return False
    if _is_placeholder(value) or re.search(r"\s", value) or not _turns(value):
        return False
    if match["secret"][0] in "\"'":
        return (
            len(value) >= 8 and _entropy(value) >= 2.5 and not re.fullmatch(r"\W*[a-zA-Z_]+_?\d+\W*", value)
        )
    if _is_code(match):
        return False
    both_cases = value != value.lower() and value != value.upper()
    long = len(value) >= 20 and both_cases and _entropy(value) >= 3.8
    return len(value) >= 12 and (_turns(value) >= 4 or long) and _entropy(value) >= 3.0


_GAP = r"""["']?(?:\s*:\s*str(?=\s*=))?(?P<gap>\s*(?:=>|:=|==?|:)\s*)"""
_VALUE = r"""(?P<secret>"[^"\n]{3,400}"|'[^'\n]{3,400}'|[^\s"'()\[\]{}<>,;&|]{6,400})"""
_SECRET_WORDS = ("secret", "token", "credentials", "credential", "key")
_PASSWORD_WORDS = ("password", "passwd", "passphrase", "pwd")
_KEY_OF = re.compile(r"(?:api|access|secret|private|kaggle|auth|account)[_-]?\Z", re.IGNORECASE)
"""What stands before `key` where a key is a secret and not a column."""


def _assignment(words: tuple[str, ...]) -> re.Pattern[str]:
    """`name = value` where the name ends in one of the words (and perhaps a number).

    Case is spelled out, `[tT][oO]...`: three times faster than the IGNORECASE flag.
    """
    spelled = ("".join(f"[{char}{char.upper()}]" for char in word) for word in words)
    return re.compile(rf"(?P<name>(?:{'|'.join(spelled)})(?:_?\d{{1,2}})?){_GAP}{_VALUE}")


def _key(
    kind: str, pattern: str, *needles: str, accept: Callable[[re.Match[str]], bool] | None = None
) -> _Rule:
    compiled = re.compile(rf"(?<![A-Za-z0-9_-])(?P<secret>{pattern})")
    return _Rule(kind, needles, compiled, accept or (lambda match: True))


_RULES = (
    _Rule(
        "private-key",
        ("private key-----",),
        re.compile(
            r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----"
            r"(?:(?:(?!-----BEGIN).)*?-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]*))",
            re.DOTALL,
        ),
    ),
    _key("anthropic-key", r"sk-ant-[A-Za-z0-9_-]{16,}", "sk-ant-"),
    _key("openai-key", r"sk-[A-Za-z0-9_-]{20,}", "sk-", accept=_mixed),
    _key("huggingface-token", r"(?:hf|api_org)_[A-Za-z0-9]{30,}", "hf_", "api_org_"),
    _key("github-token", r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}", "gh", "github_pat_"),
    _key("gitlab-token", r"glpat-[A-Za-z0-9_-]{20,}", "glpat-"),
    _key("aws-key", r"(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])", "akia", "asia", "aida", "aroa"),
    _key("google-key", r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{20,}", "aiza", "gocspx-"),
    _key("google-token", r"ya29\.[A-Za-z0-9_-]{20,}", "ya29."),
    _key("slack-token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}", "xox", "xapp-"),
    _Rule(
        "slack-webhook",
        ("hooks.slack.com/services/",),
        re.compile(r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/_-]{20,})"),
    ),
    _key("stripe-key", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", "k_live_", "k_test_"),
    _key("package-token", r"npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{40,}", "npm_", "pypi-agei"),
    _key("kaggle-key", r"KGAT_[A-Za-z0-9]{24,}", "kgat_"),
    _Rule(
        "kaggle-key",
        ('"key"', "'key'"),
        re.compile(r"""["']username["']\s*:\s*["'][^"'\n]{1,80}["']\s*,\s*["']key["']\s*:\s*["'](?P<secret>[0-9a-f]{32})["']"""),
    ),
    _key("jwt", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "eyj"),
    _Rule(
        "url-password",
        ("://",),
        re.compile(r"://[^\s/:@\"'<>\[\]]{0,80}:(?P<secret>(?!\[REDACTED:)[^\s/@\"'<>]{1,200})@(?=[\w\[.-])"),
        lambda match: not _is_placeholder(match["secret"]),
    ),
    _Rule(
        "bearer-token",
        ("bearer ",),
        re.compile(r"\bbearer +(?P<secret>[A-Za-z0-9._~+/-]{16,}=*)", re.IGNORECASE),
        _has_digit,
    ),
    _Rule("password", _PASSWORD_WORDS, _assignment(_PASSWORD_WORDS), _password),
    _Rule("secret", _SECRET_WORDS, _assignment(_SECRET_WORDS), _secret_value),
    _Rule(
        "password",
        ("--",),
        re.compile(
            rf"--(?:{'|'.join(_PASSWORD_WORDS)}|(?:api-|auth-|access-)?(?:token|key|secret)) +"
            r"(?P<secret>[^\s\"'-][^\s\"']{5,200})"
        ),
        lambda match: _turns(match["secret"]) >= 2 and not _is_placeholder(match["secret"]),
    ),
)  # fmt: skip


def redact(text: str) -> Redacted:
    """Replace API keys, private keys, tokens and passwords in `text`; see the module's words."""
    kinds: set[str] = set()
    while True:
        # Taking one secret out can lay the one glued to it bare; a clean text goes round once.
        done = _pass(text, kinds)
        if done == text:
            return Redacted(text=text, kinds=tuple(sorted(kinds)))
        text = done


def _pass(text: str, kinds: set[str]) -> str:
    lower = text.lower()
    for rule in _RULES:
        if any(needle in lower for needle in rule.needles):
            text = rule.pattern.sub(partial(_replaced, rule, kinds), text)
    return text


def _replaced(rule: _Rule, kinds: set[str], match: re.Match[str]) -> str:
    """The match with its secret replaced, quotes around it kept; the match itself if not accepted."""
    whole, secret = match[0], match["secret"]
    if secret.strip("\"'").startswith(_MARK) or not rule.accept(match):
        return whole
    kinds.add(rule.kind)
    start, end = match.start("secret") - match.start(), match.end("secret") - match.start()
    quote = secret[0] if secret[0] in "\"'" and secret[0] == secret[-1] and len(secret) > 1 else ""
    return f"{whole[:start]}{quote}{_MARK}{rule.kind}]{quote}{whole[end:]}"
