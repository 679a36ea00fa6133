"""Free loopback ports that stay free.

Ports come from below the range the kernel hands to outgoing connections: a port inside it can be
taken by any client while our server restarts, and the server would then not come back.
"""

from __future__ import annotations

import random
import socket

from epochal_embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 15_000, 32_000


def is_free(port: int) -> bool:
    """Return whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """Return a free loopback port that is not in `taken`.

    Raises:
        EmbeddedError: no port of the range is free.
    """
    candidates = list(range(_LOWEST, _HIGHEST))
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise EmbeddedError(f"No loopback port between {_LOWEST} and {_HIGHEST} is free.")


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different free loopback ports."""
    found: list[int] = []
    for _ in range(count):
        found.append(free_port(frozenset(found)))
    return tuple(found)
