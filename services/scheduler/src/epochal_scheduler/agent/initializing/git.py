"""Checks out a git repository: shallow, without a question, at a branch, tag or commit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epochal_scheduler.agent.commands import Done, run_command
from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.launching import Launch

LIMIT_S = 600.0
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """What to check out, and where."""

    url: str
    revision: str
    flags: tuple[str, ...]
    target: Path


def folder_of(url: str) -> str:
    """Returns the folder that a clone of a URL makes, as git names it."""
    name = url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    return name if name not in ("", ".", "..") else "repository"


async def check_out(launch: Launch, wanted: Repository) -> None:
    """Brings a repository to its place.

    An attempt that finds it there already brings it to the revision again, and leaves files that
    git does not know.

    Raises:
        InitFailed: git is missing, or said no; the platform's fault only if it does not answer.
        OSError: the folder cannot be made.
    """
    wanted.target.mkdir(parents=True, exist_ok=True)
    revision = wanted.revision or "HEAD"
    flags = [word for flag in wanted.flags for word in shlex.split(flag)]
    shallow = [] if any(flag.startswith("--depth") for flag in flags) else ["--depth=1"]
    await _git(launch, wanted, ["init", "--quiet"])
    await _git(launch, wanted, ["config", "remote.origin.url", wanted.url])
    heads = "+refs/heads/*:refs/remotes/origin/*"
    await _git(launch, wanted, ["config", "remote.origin.fetch", heads])
    fetch = ["fetch", "--quiet", "--force", *shallow, *flags]
    fetched = await _try(launch, wanted, [*fetch, "origin", revision])
    if fetched.code == 0:
        await _git(launch, wanted, ["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"])
        return
    # Not every server gives out a commit by its name alone: then all of it is fetched.
    if not _is_commit(revision):
        raise _failed(wanted, fetched)
    await _git(launch, wanted, ["fetch", "--quiet", "--force", "--tags", *flags, "origin"])
    await _git(launch, wanted, ["checkout", "--quiet", "--force", "--detach", revision])


def _is_commit(revision: str) -> bool:
    return 7 <= len(revision) <= 64 and all(letter in "0123456789abcdef" for letter in revision)


async def _git(launch: Launch, wanted: Repository, arguments: Sequence[str]) -> None:
    done = await _try(launch, wanted, arguments)
    if done.code != 0:
        raise _failed(wanted, done)


async def _try(launch: Launch, wanted: Repository, arguments: Sequence[str]) -> Done:
    try:
        return await run_command(launch, ["git", *arguments], wanted.target, _QUIET, LIMIT_S)
    except FileNotFoundError as error:
        raise InitFailed("git: this agent has no git; install it on its machine") from error


def _failed(wanted: Repository, done: Done) -> InitFailed:
    at = f" at {wanted.revision}" if wanted.revision else ""
    unreachable = any(
        words in line
        for line in done.said
        for words in ("Could not resolve host", "Failed to connect", "Connection timed out")
    )
    message = f"git {_public(wanted.url)}{at}: {done.last_words}"
    return InitFailed(message, infrastructure=unreachable)


def _public(url: str) -> str:
    """Returns a URL without the secrets that people write into it."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else url
