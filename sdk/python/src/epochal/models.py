"""The model registry for programs: register, promote, approve, go back, download what was signed.

    from epochal import models

    with epochal.Client() as client:
        version = "orgs/acme/projects/vision/models/digits/versions/3"
        wish = models.promote(client, version, stage="Production")
        files = models.download(client, version, "./champion", verify_with=["release.pub"])

All of it is `Client.call` with the messages of the contract; these are the calls with more to them
than one message. `epochal.aio_models` has them for asyncio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ModelCardService, PromotionService, RegistryService

from epochal import promotion_requests
from epochal.artifacts import ArtifactDoor, Progress
from epochal.client import Client
from epochal.errors import InvalidArgument, NotFound
from epochal.signing import SignatureInvalid, sign_files, signed_files


def promote(
    client: Client,
    version: str,
    *,
    stage: str = "",
    alias: str = "",
    reason: str = "",
    dry_run: bool = False,
    emergency: bool = False,
) -> pb.Promotion:
    """Ask for a place; the answer's `state` and `gates` say what came of it.

    Args:
        client: Of the platform.
        version: Full name of a version of a model, or of a dataset or a component.
        stage: The stage it shall have, or
        alias: the alias; only models have any.
        reason: Why; an emergency needs one.
        dry_run: Only say what each gate would.
        emergency: Do not wait for gates; somebody else must review it.

    Raises:
        EpochalError: It may not be asked for, or the platform is away.
    """
    method, request = promotion_requests.promote(version, stage, alias, reason, dry_run, emergency)
    return client.call(method, request)


def approve(client: Client, promotion: str, comment: str = "") -> pb.Promotion:
    """Say yes to a promotion of somebody else's.

    Raises:
        EpochalError: It is not open, is one's own, or the platform is away.
    """
    request = pb.ApprovePromotionRequest(name=promotion, comment=comment)
    return client.call(PromotionService.APPROVE_PROMOTION, request)


def reject(client: Client, promotion: str, reason: str) -> pb.Promotion:
    """Say no to a promotion, or take one's own back.

    Raises:
        EpochalError: It is not open, or the platform is away.
    """
    request = pb.RejectPromotionRequest(name=promotion, reason=reason)
    return client.call(PromotionService.REJECT_PROMOTION, request)


def roll_back(
    client: Client, model: str, reason: str, *, stage: str = "", alias: str = ""
) -> pb.Promotion:
    """Give a place of a model, dataset or component back to the version that had it before.

    Raises:
        EpochalError: Nobody had it before, or the platform is away.
    """
    method, request = promotion_requests.roll_back(model, reason, stage, alias)
    return client.call(method, request)


def card(client: Client, version: str, as_of: pb.Moment | None = None) -> str:
    """Return the card of a version: Markdown with the head that the Hugging Face hub reads.

    Args:
        client: Of the platform.
        version: Full name of a version.
        as_of: A position of the log or a time; now when left out.

    Raises:
        EpochalError: There is no such version, or the platform is away.
    """
    request = pb.GetModelCardRequest(name=version, as_of=as_of)
    return client.call(ModelCardService.GET_MODEL_CARD, request).markdown


def files(client: Client, version: str) -> Iterator[pb.ModelVersionFile]:
    """Yield the files of a version by path, with the digests they were registered with.

    Raises:
        EpochalError: There is no such version, or the platform is away.
    """
    request = pb.ListModelVersionFilesRequest(parent=version)
    while True:
        page = client.call(RegistryService.LIST_MODEL_VERSION_FILES, request)
        yield from page.files
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def sign(
    client: Client, version: str, key: str | Path, password: bytes | None = None
) -> pb.ModelVersion:
    """Sign the files of a version as they were registered, and store the signature with it.

    Raises:
        InvalidArgument: The version has no files here, or the key cannot be used.
        EpochalError: It was refused, or the platform is away.
    """
    listed = {one.path: one.sha256 for one in files(client, version)}
    if not listed:
        raise InvalidArgument(f"{version} has no files here: there is nothing to sign")
    bundle = sign_files(listed, _title(version), key, password)
    request = pb.SignModelVersionRequest(name=version, bundle=bundle)
    return client.call(RegistryService.SIGN_MODEL_VERSION, request)


def verify(client: Client, version: str, keys: Sequence[str | Path]) -> str:
    """Check that one of some public keys has signed the very files of a version; return which.

    Raises:
        SignatureInvalid: None has.
        EpochalError: There is no such version, or the platform is away.
    """
    listed = {one.path: one.sha256 for one in files(client, version)}
    request = pb.ListModelVersionSignaturesRequest(parent=version, page_size=100)
    reasons: list[str] = []
    for signature in client.call(RegistryService.LIST_MODEL_VERSION_SIGNATURES, request).signatures:
        for key in keys:
            try:
                signed = signed_files(signature.bundle, key)
            except SignatureInvalid as error:
                reasons.append(str(error))
                continue
            if signed == listed:
                return str(key)
            reasons.append("other files were signed than the version has")
    why = "; ".join(sorted(set(reasons))) or "it has no signature"
    raise SignatureInvalid(f"no key that is trusted has signed {version}: {why}")


def download(
    client: Client,
    version: str,
    to: str | Path,
    *,
    verify_with: Sequence[str | Path] = (),
    progress: Progress = lambda _: None,
) -> list[Path]:
    """Download the files of a version; each is checked against the digest it was registered with.

    Args:
        client: Of the platform.
        version: Full name of a version.
        to: Folder to write into.
        verify_with: Public keys (PEM files), one of which must have signed the files; nothing is
            downloaded otherwise.
        progress: Told of every chunk, in bytes.

    Raises:
        SignatureInvalid: No such signature.
        DataLoss: Bytes are not those that were registered; that file is not kept.
        EpochalError: There is no such version, or the platform is away.
    """
    if verify_with:
        verify(client, version, verify_with)
    folder, door = Path(to), ArtifactDoor(client)
    written: list[Path] = []
    try:
        for file in files(client, version):
            run, _, path = file.artifact.partition("/artifacts/")
            target = folder / _safe(file.path)
            digest = f"sha256:{file.sha256.hex()}"
            door.get(run, path, target, digest=digest, progress=progress)
            written.append(target)
    finally:
        door.close()
    if not written:
        raise NotFound(f"{version} has no files here: it was registered from elsewhere")
    return written


def _safe(path: str) -> PurePosixPath:
    """A path below a folder; what would lead out of it is refused."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise InvalidArgument(f"{path!r} would be written outside of the folder")
    return relative


def _title(version: str) -> str:
    model, _, number = version.rpartition("/versions/")
    return f"{model.rpartition('/')[2]}-{number}"
