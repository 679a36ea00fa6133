"""The template process: `python -m epochal_embedded.forking.template`, spoken to over its pipes.

Each line on stdin asks for a program:

    {"asked": 1, "name": "...", "module": "...", "environment": {}, "log": "...", "folder": "..."}

Each line on stdout answers, `{"asked": 1, "pid": 4711}` or `{"asked": 1, "error": "..."}`, or tells
an exit, `{"pid": 4711, "status": 0}`, negative for a signal. The end of stdin is the end of the
supervisor: the template exits, and the kernel tells every program to stop.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

# What every service imports. Nothing here may start a thread: a fork copies only the caller, and
# a lock that another thread held would stay locked for ever.
PRELOADED = ("epochal_kernel.runtime.service",)

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


def main() -> None:
    """Import what is shared, then serve; in a fork, become the program that was asked for."""
    for name in PRELOADED:
        with suppress(ImportError):  # the program that needs it will say so in its own log
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every shared page
    request = _serve(os.getpid())
    if request is not None:
        runpy.run_module(request, run_name="__main__", alter_sys=True)


def _serve(template: int) -> str | None:
    """Answer requests until stdin ends; in a fork, return the module to run."""
    woken, wakes = os.pipe()
    for descriptor in (woken, wakes):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(_STDIN, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        pending = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                for pid, status in _exits():
                    _say({"pid": pid, "status": status})
            if _STDIN in ready:
                data = os.read(_STDIN, 65536)
                if not data:
                    return None
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    if _fork(request["asked"]):
                        os.close(woken)
                        os.close(wakes)
                        _become(request, template)
                        return str(request["module"])


def _fork(asked: int) -> bool:
    """Fork, tell the supervisor who the program is, and return whether this is the fork."""
    try:
        pid = os.fork()
    except OSError as error:
        _say({"asked": asked, "error": str(error)})
        return False
    if pid:
        _say({"asked": asked, "pid": pid})
    return pid == 0


def _become(request: dict[str, object], template: int) -> None:
    """Shed everything of the template: session, signals, pipes, environment, name."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, _STDIN), (log, _STDOUT), (log, _STDERR)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    sys.argv = [str(request["module"])]
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    library.prctl(_PR_SET_NAME, f"epochal-{request['name']}".encode()[:15])
    if os.getppid() != template:  # it died before the kernel knew of our wish
        sys.exit(1)


def _exits() -> Iterator[tuple[int, int]]:
    """Reap what has ended: process ids and exit statuses, negative for a signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _say(message: dict[str, object]) -> None:
    os.write(_STDOUT, json.dumps(message).encode() + b"\n")  # shorter than PIPE_BUF: one piece


if __name__ == "__main__":
    main()
