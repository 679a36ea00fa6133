"""Tokens as messages."""

from __future__ import annotations

import json

import epochal_proto.v1 as pb

from epochal_gateway.projections import TokenRow
from epochal_gateway.services.timestamps import timestamp


def token_message(row: TokenRow) -> pb.Token:
    """Return a token as clients see it: without its hash."""
    token = pb.Token(
        name=row.name,
        user=row.username,
        display_name=row.display_name,
        scopes=json.loads(row.scopes),
        create_time=timestamp(row.create_time),
        revoked=row.revoked,
    )
    if row.expire_time is not None:
        token.expire_time.CopyFrom(timestamp(row.expire_time))
    return token
