"""The one HTTP client that speaks to the world outside: it fetches feeds and calls webhooks.

A URL may come from a configuration, a redirect or somebody's DNS, so no request may be led into the house's own
network. Every new connection resolves its host, keeps the addresses that are public or allowed by name, and connects
to exactly one of those; the name is not looked up a second time, so it cannot change in between. Redirects open
connections too and are checked alike.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Self, TypeAlias

import httpcore2
import httpx2

from monitor.errors import ConfigurationError, NewsquakeError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

USER_AGENT = f"newsquake/{version('newsquake')}"
MAX_BODY = 10 * 1024 * 1024  # bytes, of the body as it came and as it unpacks
MAX_REDIRECTS = 5
PERMANENT = (301, 308)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
AZURE_METADATA = ipaddress.IPv4Address("168.63.129.16")  # a cloud's own door, though the address looks public


class Reason(StrEnum):
    """Why a request brought no answer; the words serve as metric labels."""

    BAD_URL = "bad_url"
    FORBIDDEN = "forbidden_address"
    UNKNOWN_HOST = "unknown_host"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    REDIRECTS = "too_many_redirects"
    BROKEN = "broken_answer"


class NetError(NewsquakeError):
    """A request that brought no answer. The message names the host, never the whole URL: that may hold a secret."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer of any status. `headers` have lower-case names; `body` is unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str  # where it came from in the end
    moved: str | None = None  # the new address, where every redirect on the way was permanent


@dataclass(frozen=True, slots=True)
class Allowed:
    """The hosts of the house's own network that may be reached: names, and networks of addresses."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read names (`feeds.internal`), addresses (`127.0.0.1`) and networks (`10.1.0.0/16`).

        Raises ConfigurationError naming an entry that is none of these.
        """
        names: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            text = entry.strip().strip("[]").rstrip(".").casefold()
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if not text or set(text) & set("/:*@ "):
                    raise ConfigurationError(
                        f"allow_private: found {entry!r}; expected a host name, an address such as 127.0.0.1, "
                        "or a network such as 10.1.0.0/16"
                    ) from None
                names.add(text)
        return cls(frozenset(names), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Tell whether a connection to `host` may go to `address`."""
        if is_public(address) or host.rstrip(".").casefold() in self.names:
            return True
        return any(address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the open internet: not private, loopback, link-local, shared, or multicast.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is only as public as what it carries.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(each) for each in (address.sixtofour, *(address.teredo or ())) if each is not None):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address != AZURE_METADATA


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections to permitted addresses only."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._resolve(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise NetError(Reason.UNREACHABLE, f"{host}:{port} cannot be reached ({failure})") from failure

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NetError(Reason.UNKNOWN_HOST, f"{host}: there is no such host ({error})") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        permitted = [each for each in addresses if self._allowed.permits(host, ipaddress.ip_address(each))]
        if not permitted:
            raise NetError(
                Reason.FORBIDDEN,
                f"{host} is at {', '.join(addresses)}, which is not on the open internet; "
                "if that is meant, name the host in allow_private of [http]",
            )
        return permitted


class _Body(httpx2.AsyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()


class _GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests through the guarded backend; knows no proxy."""

    def __init__(self, allowed: Allowed) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),  # the system's authorities, or those of SSL_CERT_FILE
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(allowed),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        response = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class HttpClient:
    """Sends requests to public hosts, and to those of the house that are allowed.

    timeout   seconds for a whole request, redirects and body included
    max_body  bytes an answer's body may have, before and after unpacking
    """

    def __init__(self, *, allow_private: Sequence[str] = (), timeout: float = 30.0, max_body: int = MAX_BODY) -> None:
        self._timeout = timeout
        self._max_body = max_body
        self._client = httpx2.AsyncClient(
            transport=_GuardedTransport(Allowed.parse(allow_private)),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            timeout=timeout,
            trust_env=False,
        )

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a URL, following redirects. Raises NetError where no complete answer came."""
        return await self._request("GET", url, headers, None, MAX_REDIRECTS)

    async def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send `content`. A redirect is an answer like any other. Raises NetError where no complete answer came."""
        return await self._request("POST", url, headers, content, 0)

    async def close(self) -> None:
        """Let go of all connections; safe to call twice."""
        await self._client.aclose()

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None, redirects: int
    ) -> Answer:
        try:
            request = self._client.build_request(method, url, headers=headers, content=content)
        except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
            raise NetError(Reason.BAD_URL, f"the URL cannot be read ({error})") from error
        host = request.url.host
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(request, redirects)
        except NetError:
            raise
        except (TimeoutError, httpx2.TimeoutException, httpcore2.TimeoutException) as error:
            raise NetError(Reason.TIMEOUT, f"{host}: no complete answer within {self._timeout:g} s") from error
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise NetError(Reason.BAD_URL, f"{host}: {error}") from error
        except (httpcore2.ConnectError, httpcore2.NetworkError, ssl.SSLError, OSError) as error:
            raise NetError(Reason.UNREACHABLE, f"{host}: the connection failed ({_told(error)})") from error
        except (httpx2.HTTPError, httpcore2.ProtocolError) as error:
            raise NetError(Reason.BROKEN, f"{host}: the answer is broken ({_told(error)})") from error

    async def _follow(self, request: httpx2.Request, redirects: int) -> Answer:
        permanent = True
        for hops in range(redirects + 1):
            if request.url.scheme not in ("http", "https") or not request.url.host:
                raise NetError(
                    Reason.BAD_URL, f"found a URL of the kind {request.url.scheme!r}; expected http or https"
                )
            response = await self._client.send(request, stream=True)
            try:
                following = response.next_request if redirects else None
                if following is None:
                    return await self._answer(response, moved=permanent and hops > 0)
            finally:
                await response.aclose()
            permanent = permanent and response.status_code in PERMANENT
            request = following
        raise NetError(Reason.REDIRECTS, f"{request.url.host}: more than {redirects} redirects")

    async def _answer(self, response: httpx2.Response, *, moved: bool) -> Answer:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if max(len(body), response.num_bytes_downloaded) > self._max_body:
                raise NetError(Reason.TOO_LARGE, f"{response.url.host}: the body is larger than {self._max_body} bytes")
        url = str(response.url)
        return Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=bytes(body),
            url=url,
            moved=url if moved else None,
        )


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
