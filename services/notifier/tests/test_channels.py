"""Slack, mail and webhooks against receivers that listen: what arrives, and what comes of it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
import httpx
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from epochal_notifier.channels.hosts import HostRefused, check_host
from epochal_notifier.channels.mail import MailChannel, SmtpServer, mail_of
from epochal_notifier.channels.posting import attempt_of
from epochal_notifier.channels.slack import SlackChannel, blocks_of
from epochal_notifier.channels.webhook import WebhookChannel, body_of, signature
from epochal_notifier.domain.delivery import Attempt
from epochal_testing.clock import ManualClock
from hypothesis import given
from hypothesis import strategies as st
from notifier_world import Receiver, answer, http_receiver, message

SECRET = "a secret of sixteen"


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with http_receiver() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def webhook(clock: ManualClock) -> AsyncIterator[WebhookChannel]:
    async with httpx.AsyncClient(timeout=0.5, follow_redirects=False) as client:
        yield WebhookChannel(client, clock, private_allowed=True)


@pytest_asyncio.fixture(loop_scope="session")
async def chat() -> AsyncIterator[SlackChannel]:
    async with httpx.AsyncClient(timeout=5) as client:
        yield SlackChannel(client, private_allowed=True)


def hook(url: str) -> pb.Channel:
    return pb.Channel(webhook=pb.WebhookChannel(url=url, secret=SECRET))


def slack(url: str) -> pb.Channel:
    return pb.Channel(slack=pb.SlackChannel(url=url))


async def test_a_webhook_is_signed_over_time_and_body(
    webhook: WebhookChannel, receiver: Receiver, clock: ManualClock
) -> None:
    told = message(title="é <fit>")
    assert await webhook(hook(receiver.url), told) == Attempt(True, False, "HTTP 200")
    (request,) = receiver.received
    sent, mac = request.headers["epochal-signature"].split(",")
    assert sent == f"t={int(clock.now().timestamp())}"
    expected = hmac.new(
        SECRET.encode(), sent.removeprefix("t=").encode() + b"." + request.body, hashlib.sha256
    )
    assert mac == f"v1={expected.hexdigest()}"
    assert request.headers["idempotency-key"] == told.delivery
    assert request.headers["epochal-event"] == "run.failed"
    content = json.loads(request.body)
    assert (content["title"], content["reason"], content["position"]) == (
        "é <fit>",
        "exit code 1",
        42,
    )
    assert content["project"] == "orgs/acme/projects/vision"
    assert SECRET.encode() not in request.body


@given(st.text(min_size=16), st.integers(0, 2**33), st.binary(), st.binary())
def test_a_signature_holds_for_one_body_and_one_time(
    secret: str, at: int, body: bytes, other: bytes
) -> None:
    made = signature(secret, at, body)
    assert made == signature(secret, at, body)
    assert (made == signature(secret, at, other)) == (body == other)
    assert made != signature(secret, at + 1, body)
    assert made != signature(secret + "x", at, body)


async def test_503_then_200_with_the_same_key(webhook: WebhookChannel, receiver: Receiver) -> None:
    receiver.answers = [answer(503, "retry-after: 7"), answer(200)]
    first = await webhook(hook(receiver.url), message())
    second = await webhook(hook(receiver.url), message())
    assert first == Attempt(False, False, "HTTP 503", 7.0)
    assert second.delivered
    assert len({request.headers["idempotency-key"] for request in receiver.received}) == 1


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (404, True), (410, True), (301, True), (408, False), (425, False), (429, False),
     (500, False), (502, False)],
)  # fmt: skip
def test_which_answers_are_final(status: int, permanent: bool) -> None:
    assert attempt_of(status, "") == Attempt(False, permanent, f"HTTP {status}")


@pytest.mark.parametrize("header", ["soon", "Wed, 21 Oct 2030 07:28:00 GMT", "-1", "²", "1.5", ""])
def test_a_wait_that_is_no_number_of_seconds_is_ignored(header: str) -> None:
    assert attempt_of(503, header).retry_after_s is None


async def test_a_receiver_cannot_break_the_notifier_with_its_headers(
    webhook: WebhookChannel, receiver: Receiver
) -> None:
    receiver.answers = [
        answer(503, "retry-after: \xb2"),
        answer(503, "retry-after: " + "9" * 5_000),
    ]
    for _ in range(2):
        attempt = await webhook(hook(receiver.url), message())
        assert not attempt.delivered
        assert not attempt.permanent


async def test_a_receiver_that_is_slow_or_gone_is_tried_again(
    webhook: WebhookChannel, receiver: Receiver
) -> None:
    receiver.before_answer = asyncio.Event().wait
    slow = await webhook(hook(receiver.url), message())
    assert (slow.delivered, slow.permanent) == (False, False)
    assert "Timeout" in slow.outcome
    gone = await webhook(hook("http://127.0.0.1:1/"), message())
    assert (gone.delivered, gone.permanent) == (False, False)


async def test_a_redirect_is_not_followed_into_the_inner_network(
    webhook: WebhookChannel, chat: SlackChannel, receiver: Receiver
) -> None:
    async with http_receiver() as inner:
        receiver.answers = [answer(302, f"location: {inner.url}")]
        for attempt in (
            await webhook(hook(receiver.url), message()),
            await chat(slack(receiver.url), message()),
        ):
            assert attempt == Attempt(False, True, "HTTP 302")
        assert inner.received == []


ODD = [
    "http://example.com:99999/",
    "http://" + "a" * 64 + ".example/",
    "http://[::1/",
    "ftp://example.com/",
    "http:///path",
    "nonsense",
    "http://exa mple/",
]


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("private", [False, True])
async def test_an_odd_url_fails_and_breaks_nothing(
    clock: ManualClock, url: str, private: bool
) -> None:
    async with httpx.AsyncClient(timeout=0.5) as client:
        for attempt in (
            await WebhookChannel(client, clock, private_allowed=private)(hook(url), message()),
            await SlackChannel(client, private_allowed=private)(slack(url), message()),
        ):
            assert not attempt.delivered
            assert attempt.outcome


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:5432/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://100.64.0.1/",
    ],
)
async def test_the_inner_network_is_refused(url: str) -> None:
    with pytest.raises(HostRefused, match="EPOCHAL_NOTIFY_PRIVATE_HOSTS"):
        await check_host(url, private_allowed=False)
    await check_host(url, private_allowed=True)


async def test_a_public_address_is_let_through() -> None:
    await check_host("https://1.1.1.1/hook", private_allowed=False)


async def test_a_refused_host_is_a_final_failure(clock: ManualClock, receiver: Receiver) -> None:
    async with httpx.AsyncClient() as client:
        guarded = WebhookChannel(client, clock, private_allowed=False)
        attempt = await guarded(hook(receiver.url), message())
        told = await SlackChannel(client, private_allowed=False)(slack(receiver.url), message())
    assert attempt.permanent
    assert told.permanent
    assert receiver.received == []


async def test_slack_gets_blocks_and_a_text(chat: SlackChannel, receiver: Receiver) -> None:
    receiver.answers = [answer(200, body=b"ok"), answer(429, "retry-after: 3"), answer(404)]
    told = message(title="<!channel> & co", reason="a < b")
    assert await chat(slack(receiver.url), told) == Attempt(True, False, "HTTP 200")
    payload = json.loads(receiver.received[0].body)
    assert payload["text"] == "Run &lt;!channel&gt; &amp; co failed"
    header, section, context = payload["blocks"]
    assert header["type"] == "header"
    assert header["text"]["type"] == "plain_text"
    assert "*&lt;!channel&gt; &amp; co* failed" in section["text"]["text"]
    assert "a &lt; b" in section["text"]["text"]
    assert "<https://epochal.example/fit|open>" in context["elements"][0]["text"]
    assert await chat(slack(receiver.url), told) == Attempt(False, False, "HTTP 429", 3.0)
    assert await chat(slack(receiver.url), told) == Attempt(False, True, "HTTP 404")


texts = st.text(st.sampled_from("<>&`a\n "), max_size=200) | st.text(max_size=200)


@given(texts, st.sampled_from(["", "&" * 20_000, "<x>" * 5_000, "x" * 20_000]) | st.text(), texts)
def test_blocks_keep_to_the_limits_of_slack_and_cut_nothing_in_half(
    title: str, reason: str, creator: str
) -> None:
    header, section, context = (
        block.to_dict() for block in blocks_of(message(title=title, reason=reason, creator=creator))
    )
    assert 0 < len(header["text"]["text"]) <= 150
    assert 0 < len(section["text"]["text"]) <= 3_000
    assert all(0 < len(item["text"]) <= 3_000 for item in context["elements"])
    rest = section["text"]["text"]
    for entity in ("&amp;", "&lt;", "&gt;"):
        rest = rest.replace(entity, "")
    assert not set(rest) & set("<>&")
    if reason:
        assert section["text"]["text"].endswith("```")


class Mailbox:
    """Keeps what arrives, or refuses with what a test put there."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.refuse_recipient = self.refuse_data = ""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse_data:
            return self.refuse_data
        self.received.append(envelope)
        return "250 OK"


@pytest_asyncio.fixture(loop_scope="session")
async def mailbox() -> AsyncIterator[tuple[Mailbox, MailChannel]]:
    handler, loop = Mailbox(), asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = SmtpServer("127.0.0.1", port, "", "", "none", "epochal@example.com", 5.0)
    yield handler, MailChannel(server)
    listener.close()


TO = pb.Channel(email=pb.EmailChannel(to=["ann@example.com", "bob@example.com"]))


async def test_mail_comes_as_text_and_html(mailbox: tuple[Mailbox, MailChannel]) -> None:
    handler, channel = mailbox
    told = message(title="<b>é</b>\nx", reason="<script>alert(1)</script> & more")
    assert (await channel(TO, told)).delivered
    (envelope,) = handler.received
    assert envelope.rcpt_tos == ["ann@example.com", "bob@example.com"]
    assert isinstance(envelope.content, bytes)
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["Subject"] == "Run <b>é</b> x failed"
    assert mail["Message-ID"] == "<0193a000-0000-7000-8000-00000000000d@epochal>"
    plain, html = mail.get_body(["plain"]), mail.get_body(["html"])
    assert plain is not None
    assert html is not None
    assert "<script>alert(1)</script> & more" in plain.get_content()
    assert "<script>" not in html.get_content()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html.get_content()
    assert "https://epochal.example/fit" in html.get_content()


async def test_a_refusal_with_5xx_is_final_and_with_4xx_is_not(
    mailbox: tuple[Mailbox, MailChannel],
) -> None:
    handler, channel = mailbox
    for refusal, permanent in (("554 no", True), ("451 later", False)):
        handler.refuse_data = refusal
        attempt = await channel(TO, message())
        assert (attempt.delivered, attempt.permanent) == (False, permanent)
        assert refusal[:3] in attempt.outcome
    handler.refuse_data = ""
    for refusal, permanent in (("550 no such user", True), ("450 greylisted", False)):
        handler.refuse_recipient = refusal
        attempt = await channel(TO, message())
        assert (attempt.delivered, attempt.permanent) == (False, permanent)
        assert refusal[:3] in attempt.outcome


async def test_without_a_mail_server_there_is_no_mail() -> None:
    none = MailChannel(SmtpServer("", 25, "", "", "none", "x@example.com", 1.0))
    assert (await none(TO, message())).permanent
    away = MailChannel(SmtpServer("127.0.0.1", 1, "", "", "none", "x@example.com", 1.0))
    attempt = await away(TO, message())
    assert (attempt.delivered, attempt.permanent) == (False, False)


@given(st.text(max_size=200), st.text(max_size=200))
def test_nothing_in_a_message_makes_a_header(title: str, reason: str) -> None:
    mail = mail_of(message(title=f"x {title}", reason=reason), "a@example.com", ["b@example.com"])
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
        "Content-Type",
    }  # fmt: skip


def test_a_body_is_the_same_for_every_attempt() -> None:
    assert body_of(message()) == body_of(message())
    assert list(json.loads(body_of(message()))) == sorted(json.loads(body_of(message())))
