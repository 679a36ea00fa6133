"""The platform's own programs, as data.

What is run, whether it is asked if it is ready, and when it is stopped. `EPOCHAL_PROGRAMS` names a
JSON file that replaces the list.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home, Secrets
from epochal_embedded.sandboxes.mark import LEADING_OUT
from epochal_embedded.servers.ports import LOOPBACK

GATEWAY_GRPC = "gateway-grpc"
GATEWAY_HTTP = "gateway-http"

DATABASE_URL = "EPOCHAL_DATABASE_URL"
BOOTSTRAP_TOKEN = "EPOCHAL_BOOTSTRAP_TOKEN"
RUN_TOKEN_SECRET = "EPOCHAL_RUN_TOKEN_SECRET"
SECRET_KEY = "EPOCHAL_SECRET_KEY"

# The first eight belong to a client or to one run: a service that inherited them would act for
# somebody. The others are given by name only, to the programs that need them.
_NOT_INHERITED = frozenset(
    (
        *(
            f"EPOCHAL_{name}"
            for name in ("URL", "TOKEN", "PROJECT", "RUN", "ATTEMPT", "HOME", "CONFIG", "SPOOL")
        ),
        *(DATABASE_URL, BOOTSTRAP_TOKEN, RUN_TOKEN_SECRET, SECRET_KEY),
    )
)


@dataclass(frozen=True, slots=True)
class Program:
    """One program of the platform.

    Attributes:
        name: how it is called in tables, logs and ports.
        module: run as `python -m MODULE`.
        probed: whether it serves `/readyz` on its port; otherwise it is ready once it runs.
        stop_order: programs with a lower number are stopped first.
        patience_s: how long it may drain before it is killed.
        secrets: the secret variables it is given. An agent gets none: it runs other people's code.
        environment: variables of its own.
        forked: whether it may begin as a fork of the template process.
    """

    name: str
    module: str
    probed: bool = True
    stop_order: int = 1
    patience_s: float = 15.0
    secrets: tuple[str, ...] = (DATABASE_URL,)
    environment: Mapping[str, str] = field(default_factory=dict)
    forked: bool = True

    @property
    def shares_an_interpreter(self) -> bool:
        """Whether it is forked from the template: not with variables that imports would read."""
        return self.forked and not self.environment and sys.platform == "linux"


# Intake stops first, then what does the work, then what keeps it.
PROGRAMS: tuple[Program, ...] = (
    Program(
        "gateway",
        "epochal_gateway.main",
        stop_order=1,
        secrets=(DATABASE_URL, BOOTSTRAP_TOKEN, RUN_TOKEN_SECRET),
    ),
    Program(
        "agent",
        "epochal_scheduler.agent.main",
        probed=False,
        stop_order=0,
        patience_s=20.0,
        secrets=(),
    ),
    Program(
        "scheduler",
        "epochal_scheduler.main",
        stop_order=2,
        secrets=(DATABASE_URL, RUN_TOKEN_SECRET),
    ),
    Program("tracker", "epochal_tracker.main", stop_order=2),
    Program("monitor", "epochal_tracker.monitoring.main", stop_order=2),
    Program("lineage", "epochal_lineage.main", stop_order=2, secrets=(DATABASE_URL, SECRET_KEY)),
    Program("notifier", "epochal_notifier.main", stop_order=2, secrets=(DATABASE_URL, SECRET_KEY)),
)


def programs(environ: Mapping[str, str] = os.environ) -> tuple[Program, ...]:
    """Return the programs to run.

    Raises:
        EmbeddedError: the file named by EPOCHAL_PROGRAMS is not a list of programs.
    """
    replaced = environ.get("EPOCHAL_PROGRAMS")
    if not replaced:
        return PROGRAMS
    try:
        listed = json.loads(Path(replaced).read_text(encoding="utf-8"))
        return tuple(Program(**item) for item in listed)
    except (OSError, ValueError, TypeError) as error:
        raise EmbeddedError(f"EPOCHAL_PROGRAMS: {replaced} lists no programs: {error}") from error


def port_names(chosen: Sequence[Program]) -> list[str]:
    """Return the names of every port the platform needs, servers first."""
    return ["postgres", "nats", GATEWAY_GRPC, GATEWAY_HTTP, *(program.name for program in chosen)]


def inherited(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what of the caller's environment any program may see."""
    return {
        # Each of many processes keeps its allocator small: the platform shares a laptop.
        "MALLOC_ARENA_MAX": "2",
        **{key: value for key, value in environ.items() if key not in _NOT_INHERITED},
        "PYTHONUNBUFFERED": "1",
    }


@dataclass(frozen=True, slots=True)
class Wiring:
    """Everything the programs must be told to find each other."""

    home: Home
    secrets: Secrets
    ports: Mapping[str, int]
    database_url: str
    nats_url: str
    is_fork: bool = False

    @property
    def url(self) -> str:
        """The platform's URL for clients on this machine."""
        return f"http://{LOOPBACK}:{self.ports[GATEWAY_HTTP]}"

    def environment(
        self, program: Program, environ: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """Return the full environment of a program.

        The caller's own variables pass through (PATH, proxies, credentials of an object store,
        EPOCHAL_LOG_LEVEL), except those that belong to a client, and in a fork those that lead to
        places of the platform it is of.
        """
        data = self.home.root / program.name
        secret = {
            DATABASE_URL: self.database_url,
            BOOTSTRAP_TOKEN: self.secrets.owner_token,
            RUN_TOKEN_SECRET: self.secrets.run_token_secret,
            SECRET_KEY: self.secrets.sealing_key,
        }
        passed = inherited(environ)
        if self.is_fork:
            passed = {key: value for key, value in passed.items() if key not in LEADING_OUT}
        return {
            "EPOCHAL_OBJECT_STORE_URL": f"file://{self.home.objects}",
            # On one machine, receivers of webhooks are on it too; a shared platform says no here.
            "EPOCHAL_NOTIFY_PRIVATE_HOSTS": "true",
            **passed,
            "EPOCHAL_NATS_URL": self.nats_url,
            "EPOCHAL_DATA_DIR": str(data),
            "EPOCHAL_HTTP_PORT": str(self.ports[program.name]),
            "EPOCHAL_GATEWAY_GRPC_PORT": str(self.ports[GATEWAY_GRPC]),
            "EPOCHAL_GATEWAY_HTTP_PORT": str(self.ports[GATEWAY_HTTP]),
            "EPOCHAL_URL": self.url,
            **{name: secret[name] for name in program.secrets},
            **program.environment,
        }
