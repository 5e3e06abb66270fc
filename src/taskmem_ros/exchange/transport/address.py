"""The URL of an exchange, taken apart; its password goes to the library and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

LOCAL = ("", "file", "local")


@dataclass(frozen=True)
class Address:
    """Where an exchange is.

    protocol: "file", "sftp", "s3", "http", ...; url: with user, without password and query, for people and
    libraries; path: of a folder, or on the host; secrets: what must not be shown anywhere.
    """

    protocol: str
    url: str
    path: str
    host: str = ""
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)

    def clean(self, text: str) -> str:
        """`text` on one line, without the password, as it is and as it is written in a URL."""
        text = " ".join(text.split())
        if self.password:
            for secret in {self.password, quote(self.password), quote(self.password, safe="")}:
                text = text.replace(secret, "***")
        return text


def read_url(url: str) -> Address:
    """Raises ValueError where it names no place. A plain path is a folder."""
    url = str(url).strip()
    if not url:
        raise ValueError(
            "the exchange's URL is empty; name a folder, or sftp://HOST/FOLDER, s3://BUCKET/FOLDER"
        )
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in LOCAL:
        return Address("file", rest if separator else url, rest if separator else url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # its text may show the URL
        raise ValueError(
            "the exchange's URL has no proper host or port; write it as sftp://USER@HOST:22/FOLDER"
        ) from error
    if not parts.hostname:
        raise ValueError(
            f"the exchange's URL {protocol}://... has no host or bucket; write {protocol}://HOST/FOLDER"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    # The host as it is written: buckets are no host names, and theirs may have capitals.
    host = parts.netloc.rpartition("@")[2]
    shown = f"{quote(user)}@{host}" if user else host
    path = unquote(parts.path).rstrip("/")
    plain = SplitResult(parts.scheme, shown, parts.path.rstrip("/"), "", "").geturl()
    name = parts.hostname if port is not None else host
    return Address(protocol.lower(), plain, path, name, port, user, password)
