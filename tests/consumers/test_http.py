"""HTTP to a receiver that may be anything: only where we may go, only as long as we will wait, only as much as we will read."""

import ssl
from pathlib import Path

import pytest
import trio
import trustme

from sender.net.addresses import Targets
from tests.consumers.hooks import ANYWHERE, poster
from tests.consumers.receiver import Receiver, Reply
from workers.consumers.http import Answer, Poster
from workers.consumers.sink import SinkError

LOOPBACK = Targets(allow=("127.0.0.1/32",))


async def posted(to: Poster) -> Answer:
    try:
        return await to.post({"x-test": "1"}, b"{}")
    finally:
        await to.aclose()


def leads_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """What names mean, look-up by look-up; gives the names that were asked for."""
    asked, left = list[str](), list(answers)

    async def look_up(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        await trio.lowlevel.checkpoint()
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr("workers.consumers.http.trio.socket.getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]:{port}/"])
async def test_private_addresses_are_refused_under_any_name(url: str) -> None:
    async with Receiver().open() as receiver:
        with pytest.raises(SinkError, match=r"forbidden: .*loopback; see allow_private"):
            await posted(poster(url.format(port=receiver.port), targets=Targets()))
    assert receiver.requests == []


async def test_a_name_that_means_another_address_a_moment_later_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver().open() as receiver:
        asked = leads_to(monkeypatch, ["10.0.0.1", "127.0.0.1"], ["10.0.0.1"])
        to = poster(f"http://hooks.shop.example:{receiver.port}/in?key=1", targets=LOOPBACK)
        assert (await to.post({}, b"{}")).status == 204, "to the one that was judged, whatever is asked for later"
        assert asked == ["hooks.shop.example"], "once for a connection"
        await to.aclose()
        with pytest.raises(SinkError, match=r"10\.0\.0\.1 is forbidden: private"):
            await posted(poster(f"http://hooks.shop.example:{receiver.port}/", targets=LOOPBACK))
    (request,) = receiver.requests
    assert (request.target, request.headers["host"]) == ("/in?key=1", f"hooks.shop.example:{receiver.port}")


async def test_a_name_without_any_address_and_a_port_without_anybody_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    with receiver.away(), pytest.raises(SinkError, match=r"^127\.0\.0\.1: .*Connection refused$"):
        await posted(poster(receiver.url))
    leads_to(monkeypatch, [])
    with pytest.raises(SinkError, match="no address"):
        await posted(poster("http://hooks.shop.example/"))


async def test_a_name_that_is_none_is_told() -> None:
    for name in ("hooks..example", f"{'a' * 64}.example"):
        with pytest.raises(SinkError, match="label"):
            await posted(poster(f"http://{name}/"))


async def test_redirects_are_not_followed() -> None:
    async with Receiver(answer=lambda request: Reply(status=302, headers={"location": "/elsewhere"})).open() as receiver:
        assert (await posted(poster(receiver.url))).status == 302
    assert [request.target for request in receiver.requests] == ["/hooks"]


async def test_an_answer_is_read_only_so_far() -> None:
    async with Receiver(answer=lambda request: Reply(status=500, body=b"<" * 3_000_000)).open() as receiver:
        to = poster(receiver.url)
        assert (await to.post({}, b"{}")).status == 500
        assert (await to.post({}, b"{}")).status == 500, "over another connection"
        await to.aclose()


@pytest.mark.parametrize(
    "raw", [b"220 mail.example ESMTP\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000, b"\x00\xff\x1b[2J" * 100]
)
async def test_what_is_no_http_is_an_error_in_words(raw: bytes) -> None:
    async with Receiver(answer=lambda request: Reply(raw=raw)).open() as receiver:
        with pytest.raises(SinkError) as error:
            await posted(poster(receiver.url))
    assert str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 200


async def test_who_does_not_answer_is_not_waited_for() -> None:
    async with Receiver(answer=lambda request: Reply(wait_s=60.0)).open() as receiver:
        with pytest.raises(SinkError, match=r"no answer within 0\.2 s"):
            await posted(poster(receiver.url, timeout_s=0.2))


async def test_a_certificate_must_be_for_the_host_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.shop.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with Receiver().open(context) as receiver:
        leads_to(monkeypatch, *[["127.0.0.1"]] * 3)
        good = poster(f"https://hooks.shop.example:{receiver.port}/", ca_file=str(tmp_path / "ca.pem"))
        assert (await posted(good)).status == 204
        for url, ca_file in (
            (f"https://shop.example:{receiver.port}/", "ca.pem"),
            (f"https://hooks.shop.example:{receiver.port}/", ""),
        ):
            with pytest.raises(SinkError, match="certificate verify failed"):
                await posted(poster(url, targets=ANYWHERE, ca_file=str(tmp_path / ca_file) if ca_file else ""))
    assert len(receiver.requests) == 1
