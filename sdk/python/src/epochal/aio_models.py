"""The registry for asyncio: the calls of `epochal.models` over an `AsyncClient`.

    async with epochal.AsyncClient(config.find()) as client:
        version = "orgs/acme/projects/vision/models/digits/versions/3"
        wish = await aio_models.promote(client, version, stage="Production")

Versions of datasets and components are promoted by the same calls. Downloads and signatures move
files and are for threads: `asyncio.to_thread(models.download, ...)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ModelCardService, PromotionService, RegistryService

from epochal import promotion_requests
from epochal.aio import AsyncClient


async def promote(
    client: AsyncClient,
    version: str,
    *,
    stage: str = "",
    alias: str = "",
    reason: str = "",
    dry_run: bool = False,
    emergency: bool = False,
) -> pb.Promotion:
    """Ask for a place. See `epochal.models.promote`.

    Raises:
        EpochalError: It may not be asked for, or the platform is away.
    """
    method, request = promotion_requests.promote(version, stage, alias, reason, dry_run, emergency)
    return await client.call(method, request)


async def approve(client: AsyncClient, promotion: str, comment: str = "") -> pb.Promotion:
    """Say yes to a promotion of somebody else's.

    Raises:
        EpochalError: It is not open, is one's own, or the platform is away.
    """
    request = pb.ApprovePromotionRequest(name=promotion, comment=comment)
    return await client.call(PromotionService.APPROVE_PROMOTION, request)


async def reject(client: AsyncClient, promotion: str, reason: str) -> pb.Promotion:
    """Say no to a promotion, or take one's own back.

    Raises:
        EpochalError: It is not open, or the platform is away.
    """
    request = pb.RejectPromotionRequest(name=promotion, reason=reason)
    return await client.call(PromotionService.REJECT_PROMOTION, request)


async def roll_back(
    client: AsyncClient, resource: str, reason: str, *, stage: str = "", alias: str = ""
) -> pb.Promotion:
    """Give a place back to the version that had it before.

    Raises:
        EpochalError: Nobody had it before, or the platform is away.
    """
    method, request = promotion_requests.roll_back(resource, reason, stage, alias)
    return await client.call(method, request)


async def card(client: AsyncClient, version: str, as_of: pb.Moment | None = None) -> str:
    """Return the card of a version. See `epochal.models.card`.

    Raises:
        EpochalError: There is no such version, or the platform is away.
    """
    request = pb.GetModelCardRequest(name=version, as_of=as_of)
    return (await client.call(ModelCardService.GET_MODEL_CARD, request)).markdown


async def files(client: AsyncClient, version: str) -> AsyncIterator[pb.ModelVersionFile]:
    """Yield the files of a version by path, with the digests they were registered with.

    Raises:
        EpochalError: There is no such version, or the platform is away.
    """
    request = pb.ListModelVersionFilesRequest(parent=version)
    while True:
        page = await client.call(RegistryService.LIST_MODEL_VERSION_FILES, request)
        for file in page.files:
            yield file
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
