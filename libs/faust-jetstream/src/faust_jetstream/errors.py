"""What can go wrong between Faust and JetStream.

TransportError
`- BrokerGone     a stream that was read or written is not there any more, or is another one
"""

from __future__ import annotations


class TransportError(Exception):
    """JetStream did not do what was asked of it."""


class BrokerGone(TransportError):
    """A stream is not there any more, or was made anew: start again from what is committed."""
