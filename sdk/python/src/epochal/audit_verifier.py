#!/usr/bin/env python3
"""Checks an audit bundle of Epochal with nothing but Python and the package `cryptography`.

    python verify.py BUNDLE [--key VERIFIER_KEY] [--checkpoint FILE ...] [--json]

BUNDLE is the .zip that `epochal audit export` or `epochal audit bundle` wrote, or the folder it
was unpacked to, or a folder with the archived log (EPOCHAL_AUDIT_ARCHIVE). This file imports
nothing of Epochal and is meant to be read: it is written from RFC 9162 (tree and proofs) and from
the C2SP formats signed-note, tlog-checkpoint and tlog-cosignature, apart from the platform that
makes what it checks.

What is proved: every event in the bundle is, byte for byte, in the tree whose head a key signed.
Give the key you trust with --key: without it the one in the bundle is believed, which proves only
that the bundle is of one piece. Give checkpoints that you kept, or found where the platform
publishes them, with --checkpoint: then a past that was signed anew with the same key is found too.

The entry of an event's leaf is its digest:

    sha256( position i64 | event id 16 | org id s | category s | stream id 16 | version i32 |
            type s | payload s | actor s | resource s | correlation id 16 | causation id 16 or 0s |
            traceparent s | microseconds since 1970 i64 )

Integers are big-endian; s is the length in bytes as i32, then the bytes, text as UTF-8. Each link
of the hash chain is sha256(link before | digest), the first after 32 zero bytes.

An archive of the log has archive.json, checkpoints/SIZE and segments/FIRST-LAST.jsonl.gz: a head
(first, last, chain_before, chain), then every event as in events.jsonl.

A bundle of archived telemetry (`epochal runs archive export`) has objects under archive/, each
named by its sha256 and told of by an event, TelemetryArchived. What is proved of them besides: the
hashes of all batches that an object covers are in the tree whose root the producer's seal has,
which is the event TelemetrySealed; and every batch in it has one of these hashes.

Exit status: 0 all holds, 1 something does not, 2 the bundle cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "epochal-audit-bundle/1"
ARCHIVE_FORMAT = "epochal-log-archive/1"
SEGMENT_FORMAT = "epochal-log-segment/1"
ZEROES = bytes(32)

# Members of events.jsonl that are hashed, with how each is written there.
_UUIDS = ("event_id", "stream_id", "correlation_id")
_TEXTS = ("org_id", "category", "type", "actor", "resource", "traceparent")


class Unreadable(Exception):
    """The bundle is not of the format."""


class Broken(Exception):
    """Something does not hold; says what, and the first position it is known to concern."""

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem)
        self.position = position


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    holds: bool
    kind: str
    whole: bool
    origin: str
    size: int
    events: int
    withheld: int
    key: str
    key_was_given: bool
    checkpoints: int
    first_bad_position: int | None = None
    problem: str = ""
    archived_objects: int = 0
    proved_batches: int = 0
    altered_batches: int = 0


@dataclass(frozen=True)
class Head:
    """A checkpoint: its text as signed, and what it says."""

    text: str
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]


# ---- the tree, RFC 9162 section 2.1 ----


def leaf_hash(entry: bytes) -> bytes:
    """HASH(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """HASH(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows by leaves; keeps one hash for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """MTH of the leaves so far."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def inclusion_holds(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Section 2.1.3.2: whether a leaf hash is at `index` (from 0) of the tree with this root."""
    if not 0 <= index < size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def consistency_holds(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Section 2.1.4.2: whether the tree of size `second` begins with the one of size `first`."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    steps = list(path)
    if not first & (first - 1):
        steps.insert(0, first_root)
    if not steps:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = steps[0]
    for c in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == first_root and sr == second_root


# ---- signed notes, C2SP ----


@dataclass(frozen=True)
class Key:
    """A public Ed25519 key with the name it signs under."""

    text: str
    name: str
    key_id: bytes
    public: bytes

    def signed(self, head: Head) -> bool:
        """Whether one of a checkpoint's signatures is this key's and true."""
        for name, key_id, signature in head.signatures:
            if (name, key_id) != (self.name, self.key_id):
                continue
            try:
                public = Ed25519PublicKey.from_public_bytes(self.public)
                public.verify(signature, head.text.encode())
            except InvalidSignature:
                raise Broken(
                    f"the checkpoint of size {head.size} has a false signature of {self.text}"
                ) from None
            return True
        return False


def read_key(text: str) -> Key:
    """Read NAME+ID+BASE64.

    Raises:
        Unreadable: it is no key of a log.
    """
    name, _, rest = text.strip().partition("+")
    key_id, _, data = rest.partition("+")
    raw = _unbase64(data, "key")
    digest = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != 33 or raw[0] != 1 or digest.hex() != key_id:
        raise Unreadable(f"{text!r} is no Ed25519 verifier key such as NAME+ID+BASE64")
    return Key(text.strip(), name, digest, raw[1:])


def read_checkpoint(note: str) -> Head:
    """Read a signed note that holds a checkpoint.

    Raises:
        Unreadable: it holds none.
    """
    text, separator, lines = note.rpartition("\n\n")
    head = (text + "\n").split("\n")
    if not separator or len(head) < 4 or not head[0] or not head[1].isdecimal():
        raise Unreadable("a checkpoint is no signed note of three lines")
    signatures = []
    for line in lines.splitlines():
        name, _, data = line.removeprefix("\u2014 ").partition(" ")
        raw = _unbase64(data, "signature")
        if not line.startswith("\u2014 ") or len(raw) < 5:
            raise Unreadable(f"{line!r} is no signature line")
        signatures.append((name, raw[:4], raw[4:]))
    root = _unbase64(head[2], "root")
    return Head(text + "\n", head[0], int(head[1]), root, tuple(signatures))


def trusted_keys(key: Key, heads: Sequence[Head], known: Sequence[Key]) -> list[Key]:
    """Return the key, and those it led to: a checkpoint that both signed hands over."""
    trusted = [key]
    for head in sorted(heads, key=lambda one: one.size):
        if any(one.signed(head) for one in trusted):
            trusted += [one for one in known if one not in trusted and one.signed(head)]
    return trusted


def _unbase64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable(f"a {what} is not base64") from None


# ---- events ----


def digest_of(row: dict[str, object]) -> bytes:
    """Return the digest of an event, as the head of this file defines it.

    Raises:
        KeyError, ValueError, struct.error: the row is no event.
    """
    ids = {name: bytes.fromhex(str(row[name])) for name in _UUIDS}
    texts = {name: str(row[name]).encode() for name in _TEXTS}
    payload = base64.b64decode(str(row["payload"]), validate=True)
    causation = bytes.fromhex(str(row["causation_id"])) or bytes(16)

    def s(data: bytes) -> bytes:
        return struct.pack(">i", len(data)) + data

    return hashlib.sha256(
        b"".join(
            (
                struct.pack(">q", _integer(row, "position")),
                ids["event_id"],
                s(texts["org_id"]),
                s(texts["category"]),
                ids["stream_id"],
                struct.pack(">i", _integer(row, "version")),
                s(texts["type"]),
                s(payload),
                s(texts["actor"]),
                s(texts["resource"]),
                ids["correlation_id"],
                causation,
                s(texts["traceparent"]),
                struct.pack(">q", _integer(row, "recorded_at_us")),
            )
        )
    ).digest()


def _integer(row: dict[str, object], name: str) -> int:
    value = row[name]
    if not isinstance(value, int):
        raise ValueError(f"{name} is no number")
    return value


# ---- bundles ----


class Bundle:
    """A bundle: a .zip file, or the folder it was unpacked to."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise Unreadable(f"{path} is no bundle: {error}") from error
        self._path = path

    def read(self, name: str) -> bytes:
        """Return a whole file of the bundle."""
        try:
            if self._zip is not None:
                return self._zip.read(name)
            return (self._path / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Unreadable(f"{name} cannot be read: {error}") from error

    def is_archive(self) -> bool:
        """Whether it is an archive of the log."""
        return self._zip is None and (self._path / "archive.json").is_file()

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of it."""
        return sorted(one.name for one in (self._path / folder).glob("*") if one.is_file())

    def rows(self, name: str) -> Iterator[dict[str, object]]:
        """Yield the JSON objects of a file, one from each line."""
        try:
            with self._open(name) as raw:
                for number, line in enumerate(raw, 1):
                    try:
                        row = json.loads(line)
                    except ValueError as error:
                        raise Broken(f"line {number} of {name} is no JSON: {error}") from error
                    if not isinstance(row, dict):
                        raise Broken(f"line {number} of {name} is no object")
                    yield row
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Unreadable(f"{name} cannot be read: {error}") from error

    def _open(self, name: str) -> IO[bytes]:
        if self._zip is not None:
            return self._zip.open(name)
        return (self._path / name).open("rb")


def verify(bundle: Bundle, key: str = "", kept: Sequence[str] = ()) -> Verdict:
    """Check a bundle.

    Args:
        bundle: what to check.
        key: verifier key to trust; without it, the bundle's first.
        kept: notes of checkpoints that were kept elsewhere.

    Raises:
        Unreadable: the bundle is not of the format.
    """
    if bundle.is_archive():
        return _verify_archive(bundle, key, kept)
    try:
        manifest = json.loads(bundle.read("bundle.json"))
        kind, size = str(manifest["kind"]), int(manifest["size"])
        keys = [read_key(str(one)) for one in manifest["keys"]]
        if manifest["format"] != FORMAT or kind not in ("log", "evidence") or not keys:
            raise Unreadable(f"the bundle is not of the format {FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"bundle.json cannot be read: {error}") from error
    pinned = read_key(key) if key else keys[0]
    state = _State(kind, size, manifest.get("whole") is True, pinned)
    state.archive = manifest.get("archive") is True
    first_bad: int | None = None
    problem = ""
    try:
        _check(bundle, state, keys, kept)
    except Broken as error:
        first_bad, problem = error.position, str(error)
    return Verdict(
        holds=not problem,
        kind=kind,
        whole=state.whole,
        origin=state.origin,
        size=size,
        events=state.events,
        withheld=state.withheld,
        key=pinned.text,
        key_was_given=bool(key),
        checkpoints=state.checkpoints,
        first_bad_position=first_bad,
        problem=problem,
        archived_objects=state.objects,
        proved_batches=state.proved,
        altered_batches=state.altered,
    )


@dataclass
class _State:
    kind: str
    size: int
    whole: bool
    pinned: Key
    origin: str = ""
    events: int = 0
    withheld: int = 0
    checkpoints: int = 0
    archive: bool = False
    objects: int = 0
    proved: int = 0
    altered: int = 0


def _check(bundle: Bundle, state: _State, keys: Sequence[Key], kept: Sequence[str]) -> None:
    newest = read_checkpoint(bundle.read("checkpoint").decode())
    state.origin = newest.origin
    heads = [read_checkpoint(str(row["note"])) for row in bundle.rows("checkpoints.jsonl")]
    if newest.size != state.size:
        raise Broken(f"the bundle says it has {state.size} events, its checkpoint {newest.size}")
    outside = _check_heads(state, [*heads, newest], keys, kept)
    if state.kind == "log":
        _check_log(bundle, state, [*heads, *outside, newest])
    else:
        _check_evidence(bundle, state, newest)
    state.checkpoints = len({head.text for head in (*heads, *outside, newest)})
    if state.archive:
        _check_archive(bundle, state)


def _check_heads(
    state: _State, heads: Sequence[Head], keys: Sequence[Key], kept: Sequence[str]
) -> list[Head]:
    """Check who signed; the newest comes last. Return the checkpoints that were kept elsewhere."""
    newest = heads[-1]
    trusted = trusted_keys(state.pinned, heads, keys)
    for head in heads:
        if not any(one.signed(head) for one in trusted):
            raise Broken(
                f"the checkpoint of size {head.size} is signed neither by {state.pinned.text} "
                "nor by a key it handed over to"
            )
    outside = [read_checkpoint(note) for note in kept]
    for head in outside:
        if head.origin != newest.origin:
            raise Broken(f"a kept checkpoint is of the log {head.origin}, not {newest.origin}")
        if head.size > newest.size:
            raise Broken(
                f"a kept checkpoint has {head.size} events, the bundle only {newest.size}: "
                "the tail is gone, or the bundle is older",
                newest.size + 1,
            )
    return outside


def _check_log(bundle: Bundle, state: _State, heads: Sequence[Head]) -> None:
    digests = bundle.read("digests.bin")
    unsigned = _first_unsigned(digests, state.size, heads)
    after, through = unsigned or (state.size, state.size)
    # Rows are held against digests: up to `after` these are proved, beyond they name the place.
    _check_rows(bundle, state, digests)
    if unsigned:
        raise Broken(
            f"the log was rewritten after position {after} and not later than {through}: "
            f"up to {after} it is as signed, at {through} it is not",
            after + 1,
        )


def _first_unsigned(digests: bytes, size: int, heads: Sequence[Head]) -> tuple[int, int] | None:
    """Where the tree over digests leaves what was signed: the last size that fits, the next."""
    roots: dict[int, set[bytes]] = {}
    for head in heads:
        roots.setdefault(head.size, set()).add(head.root)
    if len(digests) < 32 * size:
        missing = len(digests) // 32
        fits = max((at for at in roots if at <= missing), default=0)
        raise Broken(f"digests end at position {missing}, the checkpoint is of {size}", fits + 1)
    tree, good = Tree(), 0
    for at in sorted(roots):
        for index in range(tree.size, at):
            tree.add(leaf_hash(digests[32 * index : 32 * index + 32]))
        if roots[at] != {tree.root()}:
            return good, at
        good = at
    return None


def _check_rows(bundle: Bundle, state: _State, digests: bytes) -> None:
    link, linked, last = ZEROES, 0, 0
    for row in bundle.rows("events.jsonl"):
        position = _position(row, last)
        if state.whole and position != last + 1:
            raise Broken(f"position {last + 1} is missing", last + 1)
        if position > state.size:
            raise Broken(f"position {position} is beyond the checkpoint", position)
        last = position
        if "withheld" in row:
            state.withheld += 1
            continue
        if _digest(row, position) != digests[32 * position - 32 : 32 * position]:
            raise Broken(f"event {position} is not as recorded", position)
        while linked < position:
            link = hashlib.sha256(link + digests[32 * linked : 32 * linked + 32]).digest()
            linked += 1
        if row.get("chain") != link.hex():
            raise Broken(f"the hash chain of event {position} is not as recorded", position)
        state.events += 1
    if state.whole and last != state.size:
        raise Broken(f"position {last + 1} is missing", last + 1)


def _check_evidence(bundle: Bundle, state: _State, newest: Head) -> None:
    proofs: dict[int, list[bytes]] = {}
    for row in bundle.rows("proofs.jsonl"):
        hashes = row.get("hashes")
        if not isinstance(hashes, list):
            raise Broken("a proof has no hashes")
        proofs[_integer(row, "position")] = [bytes.fromhex(str(one)) for one in hashes]
    last = 0
    for row in bundle.rows("events.jsonl"):
        last = position = _position(row, last)
        path = proofs.get(position)
        if path is None:
            raise Broken(f"event {position} has no proof", position)
        leaf = leaf_hash(_digest(row, position))
        if not inclusion_holds(leaf, position - 1, newest.size, path, newest.root):
            raise Broken(f"event {position} is not as recorded, or its proof is not", position)
        state.events += 1
    if state.events != len(proofs):
        missing = sorted(proofs.keys() - _positions(bundle))
        raise Broken(f"event {missing[0]} is missing", missing[0])


def _positions(bundle: Bundle) -> set[int]:
    return {_integer(row, "position") for row in bundle.rows("events.jsonl")}


def _position(row: dict[str, object], last: int) -> int:
    position = row.get("position")
    if not isinstance(position, int) or position < 1:
        raise Broken(f"the row after position {last} has no position", last + 1)
    if position <= last:
        raise Broken(f"position {position} comes after {last}: the order was changed", position)
    return position


def _digest(row: dict[str, object], position: int) -> bytes:
    try:
        return digest_of(row)
    except (KeyError, ValueError, struct.error) as error:
        raise Broken(f"event {position} is not readable: {error}", position) from error


# ---- the archived log ----


def _verify_archive(bundle: Bundle, key: str, kept: Sequence[str]) -> Verdict:
    """Check an archive of the log: every event of it against chain, tree and signatures."""
    try:
        manifest = json.loads(bundle.read("archive.json"))
        keys = [read_key(str(one)) for one in manifest["keys"]]
        if manifest["format"] != ARCHIVE_FORMAT or not keys:
            raise Unreadable(f"the archive is not of the format {ARCHIVE_FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"archive.json cannot be read: {error}") from error
    newest = read_checkpoint(bundle.read("checkpoint").decode())
    pinned = read_key(key) if key else keys[0]
    state = _State("archive", newest.size, True, pinned, newest.origin)
    first_bad: int | None = None
    problem = ""
    try:
        heads = [
            read_checkpoint(bundle.read(f"checkpoints/{name}").decode())
            for name in bundle.names("checkpoints")
        ]
        heads = [head for head in heads if head.size <= newest.size]
        outside = _check_heads(state, [*heads, newest], keys, kept)
        _check_segments(bundle, state, [*heads, *outside, newest])
        state.checkpoints = len({head.text for head in (*heads, *outside, newest)})
    except Broken as error:
        first_bad, problem = error.position, str(error)
    return Verdict(
        holds=not problem,
        kind="archive",
        whole=True,
        origin=newest.origin,
        size=newest.size,
        events=state.events,
        withheld=0,
        key=pinned.text,
        key_was_given=bool(key),
        checkpoints=state.checkpoints,
        first_bad_position=first_bad,
        problem=problem,
    )


def _segment_names(bundle: Bundle) -> list[tuple[str, int]]:
    """Return the segments that make up the log, with the last position of each."""
    longest: dict[int, int] = {}
    for name in bundle.names("segments"):
        found = re.fullmatch(r"(\d{12})-(\d{12})\.jsonl\.gz", name)
        if found:
            first, last = int(found[1]), int(found[2])
            longest[first] = max(last, longest.get(first, 0))
    chosen, position = [], 1
    while position in longest:
        last = longest[position]
        chosen.append((f"segments/{position:012d}-{last:012d}.jsonl.gz", last))
        position = last + 1
    return chosen


def _check_segments(bundle: Bundle, state: _State, heads: Sequence[Head]) -> None:
    roots: dict[int, set[bytes]] = {}
    for head in heads:
        roots.setdefault(head.size, set()).add(head.root)
    tree, link, good = Tree(), ZEROES, 0
    for name, last in _segment_names(bundle):
        if tree.size >= state.size:
            break
        before = link
        for row in _segment_rows(bundle, name, tree.size + 1, last, before):
            position = tree.size + 1
            digest = _digest(row, position)
            link = hashlib.sha256(link + digest).digest()
            if row.get("position") != position or row.get("chain") != link.hex():
                raise Broken(f"event {position} is not as recorded", position)
            tree.add(leaf_hash(digest))
            state.events += position <= state.size
            if position in roots:
                if roots[position] != {tree.root()}:
                    raise Broken(
                        f"the log was rewritten after position {good} and not later than "
                        f"{position}: up to {good} it is as signed, at {position} it is not",
                        good + 1,
                    )
                good = position
        if tree.size != last:
            raise Broken(f"position {tree.size + 1} is missing", tree.size + 1)
    if tree.size < state.size:
        raise Broken(f"position {tree.size + 1} is missing", tree.size + 1)


def _segment_rows(
    bundle: Bundle, name: str, first: int, last: int, before: bytes
) -> Iterator[dict[str, object]]:
    try:
        lines = gzip.decompress(bundle.read(name)).splitlines()
        head = json.loads(lines[0])
        said = (head["format"], head["first"], head["last"], head["chain_before"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise Broken(f"{name} cannot be read: {error}", first) from error
    if said != (SEGMENT_FORMAT, first, last, before.hex()):
        raise Broken(f"{name} does not follow on from position {first - 1}", first)
    for number, line in enumerate(lines[1:]):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Broken(f"event {first + number} is no JSON: {error}", first + number) from error
        if not isinstance(row, dict):
            raise Broken(f"event {first + number} is no object", first + number)
        yield row


# ---- archived telemetry ----

ARCHIVE_MAGIC = b"epochal-telemetry-archive/1\n"
ARCHIVED, SEALED = "epochal.v1.TelemetryArchived", "epochal.v1.TelemetrySealed"
MAX_BATCH_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Told:
    """What an event says of an archived object."""

    position: int
    producer: str
    sha256: bytes
    first: int
    last: int
    sealed: bool
    size: int
    root: bytes


def read_fields(data: bytes) -> dict[int, bytes | int]:
    """Return the fields of a protobuf message by number; the last of each counts.

    Raises:
        ValueError: it is none.
    """
    fields: dict[int, bytes | int] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError("a number does not end")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            fields[number] = varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or at + size > len(data):
            raise ValueError(f"field {number} does not read")
        fields[number] = data[at : at + size]
        at += size
    return fields


def range_root(entries: Sequence[bytes], first: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that entries at places from `first` on give, with what is left and right.

    The proof has the hashes of the largest subtrees without any of them, from left to right.

    Raises:
        ValueError: it has not as many as that.
    """
    end, hashes = first + len(entries), iter(proof)
    if not 0 <= first < end <= size:
        raise ValueError(f"a tree of {size} has no leaves from {first} to {end}")

    def node(low: int, high: int) -> bytes:
        if high <= first or low >= end:
            found = next(hashes, None)
            if found is None:
                raise ValueError("the proof has too few hashes")
            return found
        if high - low == 1:
            return leaf_hash(entries[low - first])
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        left = node(low, middle)
        return node_hash(left, node(middle, high))

    root = node(0, size)
    if next(hashes, None) is not None:
        raise ValueError("the proof has too many hashes")
    return root


def check_object(data: bytes, told: Told) -> tuple[int, int]:
    """Check an archived object; return how many batches are proved, and how many were altered.

    Raises:
        Broken: it is not as it was archived; names the batch, where it is one.
    """
    name = f"archive object {told.sha256.hex()}"
    try:
        proved, altered = _check_object(data, told)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Broken(f"{name}: {error}", told.position) from error
    if hashlib.sha256(data).digest() != told.sha256:
        raise Broken(f"{name} has other bytes than its event says", told.position)
    return proved, altered


def _check_object(data: bytes, told: Told) -> tuple[int, int]:
    if not data.startswith(ARCHIVE_MAGIC):
        raise ValueError("it is no archive of telemetry")
    line, _, rest = data[len(ARCHIVE_MAGIC) :].partition(b"\n")
    head = json.loads(line)
    leaves: list[bytes] = []
    proved = altered = place = 0
    for number, leaf, stored, size, other in head["batches"]:
        block = rest[place : place + stored]
        place += stored
        leaves.append(bytes.fromhex(leaf))
        if size and _unpacked(number, block, size) != (other or leaf):
            raise ValueError(f"batch {number} is not as it was archived")
        proved += bool(size and not other)
        altered += bool(size and other)
    root = range_root(
        leaves, head["first_leaf"], head["tree_size"], [bytes.fromhex(one) for one in head["proof"]]
    )
    if root != told.root or place != len(rest) or head["tree_size"] != told.size:
        raise ValueError("its batches are not those of the tree that its event names")
    numbers = [row[0] for row in head["batches"]]
    if (head["producer"], numbers[0], numbers[-1]) != (told.producer, told.first, told.last):
        raise ValueError("it is of other batches than its event says")
    return proved, altered


def _unpacked(number: int, block: bytes, size: int) -> str:
    """Return the sha256 of a batch, as hexadecimal."""
    if len(block) != size:
        if not 0 < size <= MAX_BATCH_BYTES:
            raise ValueError(f"batch {number} cannot have {size} bytes")
        try:
            block = zlib.decompressobj().decompress(block, size)
        except zlib.error as error:
            raise ValueError(f"batch {number} is not as it was archived: {error}") from error
    return hashlib.sha256(block).hexdigest()


def _check_archive(bundle: Bundle, state: _State) -> None:
    """Hold each object against its event, and the event against the producer's seal."""
    seals: dict[str, tuple[int, bytes]] = {}
    for row in bundle.rows("events.jsonl"):
        kind = row.get("type")
        if kind not in (ARCHIVED, SEALED):
            continue
        position = _integer(row, "position")
        try:
            fields = read_fields(base64.b64decode(str(row["payload"])))
            producer = _bytes(fields, 2).decode()
            if kind == SEALED:
                seals[producer] = (_number(fields, 3), _bytes(fields, 6))
                continue
            told = Told(
                position=position,
                producer=producer,
                sha256=_bytes(fields, 4),
                first=_number(fields, 6),
                last=_number(fields, 7),
                sealed=bool(_number(fields, 10)),
                size=_number(fields, 11),
                root=_bytes(fields, 12),
            )
        except ValueError as error:
            raise Broken(f"event {position} does not read: {error}", position) from error
        if told.sealed and seals.get(producer) != (told.size, told.root):
            raise Broken(
                f"event {position} names another tree than the seal of producer {producer}",
                position,
            )
        proved, altered = check_object(bundle.read(f"archive/{told.sha256.hex()}"), told)
        state.objects += 1
        state.proved += proved
        state.altered += altered


def _bytes(fields: dict[int, bytes | int], number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is a number")
    return value


def _number(fields: dict[int, bytes | int], number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundle named on the command line and say what was found."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0],
        epilog="example: python verify.py audit.zip --key 'log.acme.com/epochal+1a2b3c4d+AQ...'",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", default="", help="verifier key that you trust")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="one that you kept"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args(arguments)
    try:
        kept = [path.read_text(encoding="utf-8") for path in options.checkpoint]
        verdict = verify(Bundle(options.bundle), options.key, kept)
    except (Unreadable, OSError, UnicodeDecodeError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(asdict(verdict), indent=2))
    else:
        print(told(verdict))
    return 0 if verdict.holds else 1


def told(verdict: Verdict) -> str:
    """Return a verdict as people read it."""
    if not verdict.holds:
        where = f", first bad position {verdict.first_bad_position}"
        return f"BROKEN{where if verdict.first_bad_position else ''}: {verdict.problem}"
    some = "all" if verdict.whole else "chosen"
    lines = [
        f"HOLDS: {verdict.events} events ({some}) are in the log {verdict.origin} "
        f"of {verdict.size}, as {verdict.checkpoints} checkpoints say",
    ]
    if verdict.withheld:
        lines.append(f"{verdict.withheld} events hold secrets: only their digests are here")
    if verdict.archived_objects:
        lines.append(
            f"{verdict.archived_objects} archived objects: {verdict.proved_batches} batches are as "
            "they came"
        )
    if verdict.altered_batches:
        lines.append(
            f"{verdict.altered_batches} batches had been joined, or deleted in part, before they "
            "were archived: the event of their archiving vouches for them, the seal does not"
        )
    if not verdict.key_was_given:
        lines.append("The key is the bundle's own: give the one you trust with --key")
        lines.append(verdict.key)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
