"""The data folder of one embedded platform: what lies where, and what is kept between starts.

platform.json   ports and the kinds of server, chosen at the first start and kept
secrets.json    0600: owner token, signing secret of run tokens, sealing key
client.json     0600: how the SDK and the CLI on this machine find the platform
state.json      what runs now, written by the supervisor
lock            held by the supervisor while it lives
logs/ objects/ postgres/ nats/ agent/
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.servers.folders import make_folder, write_private
from epochal_embedded.servers.ports import free_port, is_free


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under one data folder."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.root / "logs"

    @property
    def objects(self) -> Path:
        """The artifacts."""
        return self.root / "objects"

    @property
    def lock(self) -> Path:
        """Locked by the supervisor while it lives."""
        return self.root / "lock"

    @property
    def state(self) -> Path:
        """What runs now."""
        return self.root / "state.json"

    @property
    def client(self) -> Path:
        """How clients on this machine find the platform."""
        return self.root / "client.json"

    def log_of(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders that are missing; what exists keeps its permissions.

        Other accounts may pass through, because PostgreSQL of a platform run by root is another
        account; they cannot list it, and what is secret in it is 0600.
        """
        make_folder(self.root, 0o711)
        for folder in (self.logs, self.objects):
            make_folder(folder, 0o700)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only this platform knows, made of random bits at the first start."""

    owner_token: str
    run_token_secret: str
    sealing_key: str

    @classmethod
    def keep(cls, home: Home) -> Secrets:
        """Read the secrets, or make them the first time.

        Raises:
            EmbeddedError: the file is damaged. It is not replaced: what was sealed with the lost
                key could never be opened again.
        """
        path = home.root / "secrets.json"
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            made = cls(
                owner_token=f"epo_{secrets.token_urlsafe(32)}",
                run_token_secret=secrets.token_urlsafe(32),
                sealing_key=base64.urlsafe_b64encode(os.urandom(32)).decode("ascii"),
            )
            write_private(path, json.dumps(asdict(made), indent=2) + "\n")
            return made
        except (ValueError, TypeError) as error:
            raise EmbeddedError(
                f"{path} is damaged ({error}). Restore it from a backup of the data folder."
            ) from error


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs of servers that replace the embedded ones; empty means embedded."""

    database_url: str = ""
    nats_url: str = ""


def keep_ports(home: Home, names: Sequence[str], servers: Servers) -> dict[str, int]:
    """Return a port for each name: the one of the last start unless another program took it.

    Raises:
        EmbeddedError: the file is damaged, or the platform's data is in another database than the
            one it would be started with now.
    """
    path = home.root / "platform.json"
    kinds = {
        "database": "external" if servers.database_url else "embedded",
        "nats": "external" if servers.nats_url else "embedded",
    }
    kept: dict[str, int] = {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = {str(name): int(port) for name, port in found["ports"].items()}
        _refuse_another_database(home, str(found["database"]), kinds["database"])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmbeddedError(
            f"{path} is damaged ({error}). Delete it: only the ports are chosen again."
        ) from error
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name, 0)
        if not port or port in ports.values() or not is_free(port):
            port = free_port(frozenset(ports.values()) | frozenset(kept.values()))
        ports[name] = port
    text = json.dumps({**kinds, "ports": {**kept, **ports}}, indent=2) + "\n"
    write_private(path, text)
    return ports


def _refuse_another_database(home: Home, before: str, now: str) -> None:
    if before == now:
        return
    what_to_do = (
        "set EPOCHAL_DATABASE_URL to that server again"
        if before == "external"
        else "unset EPOCHAL_DATABASE_URL"
    )
    raise EmbeddedError(
        f"The platform in {home.root} keeps its data in an {before} database and would start "
        f"empty on the {now} one. To go on, {what_to_do}; for a new platform, give another --home."
    )


def write_client(home: Home, url: str, token: str) -> None:
    """Leave the file by which the SDK and the CLI on this machine find the platform."""
    fields = {"url": url, "token": token, "project": "orgs/default/projects/main"}
    write_private(home.client, json.dumps(fields, indent=2) + "\n")
