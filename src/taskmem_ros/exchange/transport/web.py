"""An exchange behind a web server, for reading: folders are listed by the server's index pages."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from fsspec.implementations.http import HTTPFileSystem

from taskmem_ros.exchange.transport.address import Address
from taskmem_ros.exchange.transport.patience import Patience, is_transient

BLOCK = 1 << 20
MAX_PAGE = 32 << 20  # of an index page; a name takes some 200 bytes there
_LATER = {408, 425, 429, 500, 502, 503, 504}


class Web:
    """A transport, see `choose.Transport`. The session is fsspec's; the bytes are read as they come: its
    files need a server that sends parts, and its listings take pages of any size.
    """

    writable = False

    def __init__(self, address: Address, options: Mapping[str, Any], step_s: float):
        scheme, _, rest = address.url.partition("://")
        self._root = f"{scheme}://{rest.rpartition('@')[2]}"
        client = {"timeout": aiohttp.ClientTimeout(total=None, connect=step_s, sock_connect=step_s)}
        if address.user:
            login = aiohttp.encode_basic_auth(address.user, address.password)
            client["headers"] = {"Authorization": login}
        options = dict(options)
        client |= options.pop("client_kwargs", {})
        self._fs = HTTPFileSystem(
            client_kwargs=client, skip_instance_cache=True, use_listings_cache=False, **options
        )

    def names(self, folder: str, patience: Patience) -> list[str]:
        url = self._url(folder) + "/"
        page = bytearray()
        for block in self._read(url, patience):
            page += block
            if len(page) > MAX_PAGE:
                raise OSError(
                    errno.EFBIG, f"the list of {folder or 'the exchange'} has over {MAX_PAGE} bytes"
                )
        return _names_in(page.decode(errors="replace"), urlsplit(url).path)

    def has_root(self, patience: Patience) -> bool:
        try:
            self.names("", patience)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str, patience: Patience) -> int | None:
        return None  # known for sure when it was read

    def blocks(self, path: str, patience: Patience) -> Iterator[bytes]:
        return self._read(self._url(path), patience)

    def write(
        self,
        path: str,
        source: Path | bytes,
        patience: Patience,
        advance: Callable[[int], None],
        replace: bool,
    ) -> None:
        raise OSError(errno.EROFS, "a place on the web is read only")

    def sweep(self, path: str, patience: Patience) -> None:
        pass

    def is_transient(self, error: BaseException) -> bool:
        if isinstance(error, aiohttp.ClientResponseError):
            return error.status in _LATER
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return is_transient(error.os_error)
        if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL)):
            return False
        return isinstance(error, aiohttp.ClientError) or is_transient(error)

    def reset(self) -> None:
        pass  # dead connections leave the session's pool by themselves

    def _url(self, path: str) -> str:
        return f"{self._root}/{quote(path)}" if path else self._root

    def _read(self, url: str, patience: Patience) -> Iterator[bytes]:
        loop = self._fs.loop
        session = patience.run(loop, self._fs.set_session())
        response = patience.run(loop, _get(session, url))
        try:
            while block := patience.run(loop, response.content.read(BLOCK)):
                yield block
        finally:
            loop.call_soon_threadsafe(response.close)


async def _get(session: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    # Not packed: what is small on the wire may be anything in memory.
    response = await session.get(url, headers={"Accept-Encoding": "identity"})
    if response.status in (404, 410):
        response.close()
        raise FileNotFoundError(errno.ENOENT, "the server has no such file", url)
    if response.status in (401, 403):
        response.close()
        raise PermissionError(errno.EACCES, f"the server refuses ({response.status})", url)
    try:
        response.raise_for_status()
    except aiohttp.ClientResponseError:
        response.close()
        raise
    return response


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _names_in(page: str, folder: str) -> list[str]:
    """Names that an index page of a folder (its path, "/" at the end) links to, each once."""
    links = _Links()
    links.feed(page)
    names: dict[str, None] = {}
    for link in links.found:
        try:
            parts = urlsplit(link)
        except ValueError:  # such as "http://["
            continue
        if parts.scheme or parts.netloc or parts.query:  # to elsewhere; to the list in another order
            continue
        name = parts.path.removeprefix(folder).removeprefix("./").removesuffix("/")
        if name and "/" not in name:
            names[unquote(name)] = None
    return list(names)
