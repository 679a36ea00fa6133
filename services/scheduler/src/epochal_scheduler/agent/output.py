"""Bytes of a process's output to lines of text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

MAX_LINE_BYTES = 64 * 1024
TAIL_LINES = 20
TAIL_CHARS = 4096


class LineSplitter:
    """Cuts one stream of bytes into lines; longer ones than 64 KiB come in pieces.

    ANSI sequences are kept; what is not UTF-8 becomes U+FFFD; a carriage return before the line
    end is dropped.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yields the lines that are complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from self._pieces(line.removesuffix(b"\r"))
        while len(self._rest) > MAX_LINE_BYTES:
            piece, self._rest = self._rest[:MAX_LINE_BYTES], self._rest[MAX_LINE_BYTES:]
            yield piece.decode("utf-8", "replace")

    def end(self) -> Iterator[str]:
        """Yields what stands after the last line end."""
        if self._rest:
            yield from self._pieces(self._rest)
            self._rest = b""

    @staticmethod
    def _pieces(line: bytes) -> Iterator[str]:
        for start in range(0, max(len(line), 1), MAX_LINE_BYTES):
            yield line[start : start + MAX_LINE_BYTES].decode("utf-8", "replace")


def readable(text: str) -> str:
    """Returns text that UTF-8 can hold: names of files and arguments may be any bytes at all."""
    return text.encode("utf-8", "replace").decode()


class Tail:
    """The last lines, of stderr if it has any: what a failed run says of itself."""

    def __init__(self) -> None:
        self._lines = {
            "stdout": deque[str](maxlen=TAIL_LINES),
            "stderr": deque[str](maxlen=TAIL_LINES),
        }

    def add(self, stream: str, text: str) -> None:
        """Adds a line."""
        self._lines[stream].append(text)

    def text(self) -> str:
        """Returns the lines as one text, at most 4 KiB of it."""
        lines = self._lines["stderr"] or self._lines["stdout"]
        return "\n".join(lines)[-TAIL_CHARS:]
