from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from monitor.errors import ConfigurationError
from monitor.net import Allowed, HttpClient, NetError, Reason, is_public
from tests.sources.world import Reply, Site, site

LOOPBACK = ("127.0.0.1",)


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[HttpClient]:
    made = HttpClient(**{"allow_private": LOOPBACK, **options})
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as world:
        yield world


async def failure(work: Awaitable[object]) -> NetError:
    with pytest.raises(NetError) as caught:
        await work
    return caught.value


@asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handle(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",  # the metadata door of most clouds
        "168.63.129.16",  # and of one whose address looks public
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
)
def test_addresses_of_the_house_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_the_house_is_opened_by_name_address_or_network() -> None:
    allowed = Allowed.parse(["Feeds.Internal", "127.0.0.1", "10.1.0.0/16", "[::1]"])
    for host, address in [
        ("feeds.internal", "192.168.1.1"),
        ("FEEDS.internal.", "192.168.1.1"),
        ("x", "127.0.0.1"),
        ("x", "10.1.2.3"),
        ("::1", "::1"),
    ]:
        assert allowed.permits(host, ipaddress.ip_address(address)), (host, address)
    for host, address in [("other.internal", "192.168.1.1"), ("x", "127.0.0.2"), ("x", "10.2.0.1")]:
        assert not allowed.permits(host, ipaddress.ip_address(address)), (host, address)


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "http://host", "host:8080", "*.internal", "", "a b"])
def test_an_entry_that_allows_nothing_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_private"):
        Allowed.parse([entry])


async def test_a_private_host_is_refused_unless_it_is_allowed(web: Site) -> None:
    web.serve(Reply(body=b"hello"))
    async with client(allow_private=()) as closed, client() as open_:
        refused = await failure(closed.get(web.url))
        assert refused.reason is Reason.FORBIDDEN
        assert "127.0.0.1" in str(refused)
        assert "allow_private" in str(refused)
        assert web.seen == []
        answer = await open_.get(web.url)
    assert (answer.status, answer.body) == (200, b"hello")
    assert web.seen[0].headers["user-agent"].startswith("newsquake/")


async def test_a_redirect_into_the_house_is_refused(web: Site) -> None:
    with site("127.0.0.2") as inside:
        inside.serve(Reply(body=b"secret"))
        web.serve(Reply(302, headers={"Location": f"{inside.url}/admin"}))
        async with client() as http:
            refused = await failure(http.get(web.url))
        assert refused.reason is Reason.FORBIDDEN
        assert inside.seen == []


async def test_a_name_is_looked_up_once_and_the_checked_address_is_called(
    web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    web.serve(Reply(body=b"hello", headers={"Connection": "close"}))
    url = web.url.replace("127.0.0.1", "news.example")
    async with client() as http:
        assert (await http.get(url)).body == b"hello"
        assert asked == ["news.example"]
        assert web.seen[0].headers["host"].startswith("news.example:")
        assert (await failure(http.get(url))).reason is Reason.FORBIDDEN


async def test_of_a_name_with_several_addresses_only_a_permitted_one_is_called(
    web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    web.serve(Reply(body=b"hello"))
    async with client() as http:
        assert (await http.get(web.url.replace("127.0.0.1", "news.example"))).body == b"hello"


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "gzip bomb"])
async def test_a_body_that_is_too_large_is_cut_off(web: Site, headers: dict[str, str]) -> None:
    body = b"0" * 30_000_000
    web.serve(Reply(body=gzip.compress(body) if headers else body, headers=headers))
    async with client(max_body=1_000_000) as http:
        assert (await failure(http.get(web.url))).reason is Reason.TOO_LARGE
        web.serve(Reply(body=gzip.compress(b"x" * 1000), headers={"Content-Encoding": "gzip"}))
        assert (await http.get(web.url)).body == b"x" * 1000


async def test_a_server_that_drips_its_answer_times_out() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(drip) as url, client(timeout=0.3) as http:
        assert (await failure(http.get(url))).reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    ],
    ids=["another protocol", "nothing", "half a body", "endless headers"],
)
async def test_a_broken_answer_is_one_plain_error(bytes_sent: bytes) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes_sent)
        await writer.drain()

    async with raw_server(send) as url, client() as http:
        assert (await failure(http.get(url))).reason in (Reason.BROKEN, Reason.UNREACHABLE)


async def test_a_body_that_does_not_unpack_is_a_broken_answer(web: Site) -> None:
    web.serve(Reply(body=b"this is no gzip", headers={"Content-Encoding": "gzip"}))
    async with client() as http:
        assert (await failure(http.get(web.url))).reason is Reason.BROKEN


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://news.example/rss", Reason.BAD_URL),
        ("file:///etc/passwd", Reason.BAD_URL),
        ("news.example/rss", Reason.BAD_URL),
        ("http://", Reason.BAD_URL),
        ("http://[::1/rss", Reason.BAD_URL),
        ("http://news.invalid/rss", Reason.UNKNOWN_HOST),
        ("http://127.0.0.1:1/rss", Reason.UNREACHABLE),
        ("https://127.0.0.1:1/rss", Reason.UNREACHABLE),
    ],
)
async def test_a_url_that_leads_nowhere_says_why(url: str, reason: Reason) -> None:
    async with client() as http:
        assert (await failure(http.get(url))).reason is reason


async def test_plain_http_where_tls_is_expected_is_unreachable(web: Site) -> None:
    async with client() as http:
        assert (await failure(http.get(web.url.replace("http", "https", 1)))).reason is Reason.UNREACHABLE


async def test_an_error_holds_no_secret_of_the_url() -> None:
    async with client() as http:
        for url in ("http://127.0.0.1:1/T0KEN?key=T0KEN", "http://me:T0KEN@127.0.0.1:1/", "http://[T0KEN"):
            assert "T0KEN" not in str(await failure(http.get(url)))


async def test_only_redirects_for_good_give_a_new_address(web: Site) -> None:
    def answer(seen: Any) -> Reply:
        steps = {"/good": (301, "/good2"), "/good2": (308, "/end"), "/mixed": (301, "/now"), "/now": (302, "/end")}
        if seen.path in steps:
            status, where = steps[seen.path]
            return Reply(status, headers={"Location": where})
        return Reply(body=b"end")

    web.answer = answer
    async with client() as http:
        assert (await http.get(f"{web.url}/good")).moved == f"{web.url}/end"
        mixed = await http.get(f"{web.url}/mixed")
        assert (mixed.moved, mixed.url) == (None, f"{web.url}/end")
        assert (await http.get(f"{web.url}/end")).moved is None


async def test_redirects_end_somewhere(web: Site) -> None:
    web.serve(Reply(302, headers={"Location": "/again"}))
    async with client() as http:
        assert (await failure(http.get(web.url))).reason is Reason.REDIRECTS
        assert len(web.seen) == 6
        web.serve(Reply(302, headers={"Location": "file:///etc/passwd"}))
        assert (await failure(http.get(web.url))).reason is Reason.BAD_URL


async def test_a_webhook_is_never_redirected(web: Site) -> None:
    web.serve(Reply(307, headers={"Location": "/elsewhere"}))
    async with client() as http:
        answer = await http.post(f"{web.url}/hook", b"payload", {"Content-Type": "application/json"})
    assert answer.status == 307
    assert [(seen.method, seen.path, seen.body) for seen in web.seen] == [("POST", "/hook", b"payload")]


async def test_proxies_of_the_environment_and_cookies_are_left_alone(
    web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.serve(Reply(body=b"x", headers={"Set-Cookie": "who=you"}))
    async with client() as http:
        for _ in range(2):
            assert (await http.get(web.url)).status == 200
    assert all("cookie" not in seen.headers for seen in web.seen)


async def test_closing_twice_is_harmless() -> None:
    async with client() as http:
        await http.close()
