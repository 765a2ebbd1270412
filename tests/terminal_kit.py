"""The command line in a pseudo-terminal, as a person types at it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time


class Terminal:
    """The command in a pseudo-terminal; `until` reads up to words, `say` types a line."""

    def __init__(self, *args: str) -> None:
        self._mine, theirs = pty.openpty()
        command = [sys.executable, "-m", "mleagent.cli.app", *args]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._read = 0
        self.text = ""

    def until(self, words: str, within_s: float = 30.0) -> None:
        end = time.monotonic() + within_s
        while words not in self.text[self._read :]:
            assert time.monotonic() < end, f"no {words!r} in {self.text!r}"
            if select.select([self._mine], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._mine, 4096).decode()
                except OSError:
                    break
        assert words in self.text[self._read :], self.text
        self._read = self.text.index(words, self._read) + len(words)

    def say(self, line: str = "") -> None:
        os.write(self._mine, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Ctrl-C until it is heard: right between a question and the wait for its answer it is missed."""
        for _ in range(30):
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(0.5)
                return
            except subprocess.TimeoutExpired:
                continue

    def code(self) -> int:
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            # What is still written must be read, or the program waits for room.
            if select.select([self._mine], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._mine, 4096).decode(errors="replace")
                except OSError:
                    break
        code = self.process.wait(10)
        os.close(self._mine)
        return code
