"""A program's raw output made fit for people and prompts: decoded, escapes removed, timed by line.

Takes chunks of bytes with the second each arrived at, gives lines. Cleaning is
by line, so that an escape sequence left open can swallow at most its own line,
and so that the text streamed and the text kept are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC up to their end, or the line's
    r"|\x1b[ -/]*[0-~]?"  # other two-byte sequences
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# C0 but tab, DEL, C1, line and paragraph separators, and the marks that turn text around.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean_line(raw: bytes) -> str:
    """One line of output (without its newline) as text that can't steer a terminal.

    Of a line rewritten by carriage returns (progress bars) the last version stays.
    """
    text = raw.decode("utf-8", "replace")
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    return _CONTROL.sub("", _ESCAPE.sub("", text))


class Transcript:
    """Collects one run's output: head as it comes, then what the runner kept of the tail.

    `on_text` gets every finished line (with its newline) once; the text after the
    gap that a flood left is preceded by one line that says how much is missing.
    """

    def __init__(self, on_text: Callable[[str], None] | None = None) -> None:
        self._on_text = on_text
        self._lines: list[str] = []
        self._times: list[float] = []
        self._pending = bytearray()
        self._last = 0.0

    def feed(self, at_s: float, data: bytes) -> None:
        """Take a chunk that arrived `at_s` seconds after the start."""
        # Times come from the runner; they are made to grow so that milestones keep their order.
        self._last = max(self._last, at_s)
        self._pending += data
        if b"\n" not in data:
            return
        *whole, rest = bytes(self._pending).split(b"\n")
        self._pending = bytearray(rest)
        for raw in whole:
            self._add(clean_line(raw), "\n")

    def gap(self, dropped: int) -> None:
        """Note that `dropped` bytes are missing here."""
        self.finish_line("\n")
        self._add(f"... {dropped} bytes of output dropped ...", "\n")

    def preview(self, data: bytes) -> None:
        """Show a piece that will not be kept (the middle of a flood)."""
        if self._on_text is not None:
            self._on_text("".join(clean_line(raw) + "\n" for raw in data.split(b"\n") if raw))

    def finish_line(self, end: str = "") -> None:
        """Take an unfinished last line as it is."""
        if self._pending:
            raw = bytes(self._pending)
            self._pending.clear()
            text = clean_line(raw)
            if text or end:  # of control characters alone nothing is left, so it is no line
                self._add(text, end)

    def _add(self, text: str, end: str) -> None:
        self._lines.append(text + end)
        self._times.append(round(self._last, 6))
        if self._on_text is not None:
            self._on_text(text + end)

    @property
    def text(self) -> str:
        """Everything kept so far."""
        return "".join(self._lines)

    @property
    def line_times(self) -> tuple[float, ...]:
        """Arrival of each line of `text`, seconds since the start."""
        return tuple(self._times)
