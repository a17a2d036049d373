"""Downloading one file from a stranger's server, which may be slow, broken, lying or endless.

Every wait for a server is limited, the whole download as well, over all addresses of a host, and
nothing is read beyond the size limit. What is not limited is the system's look-up of a host's name,
which has time limits of its own. Only http and https are spoken, also after a redirect, and
certificates are checked.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import string
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any, BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from utils.doctor.findings import printable

SCHEMES = ("http", "https")
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5
CHUNK = 1 << 16  # bytes
SAFE_IN_URL = "%/:=&?~+!$,;'@()*[]"  # what an address may hold as it is
USER_AGENT = "maskrcnn-finetune (tools.gather; Python urllib)"


class FetchError(Exception):
    """A source gives no picture: ``reason`` in a few words that repeat, ``details`` of this one."""

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason, self.details = reason, plain(details)


@dataclass(frozen=True)
class Limits:
    """How long and how large a download may be.

    ``timeout`` are the seconds of one wait (for the connection, for the next bytes), ``time_limit``
    those of a whole file with its redirects, ``max_bytes`` its size. Setting ``stop`` ends all
    downloads at their next bytes.
    """

    timeout: float
    time_limit: float
    max_bytes: int
    stop: Event = field(default_factory=Event)


def download(url: str, file: BinaryIO, limits: Limits) -> None:
    """Write what ``url`` answers to ``file``.

    Raises:
        FetchError: an address that is no http or https, no connection, a certificate that does not
            hold, an error status, too many redirects, cut short, too slow or too large.
        OSError: ``file`` cannot be written.
    """
    deadline = _Deadline(limits)
    with _open_redirected(url, deadline) as response:
        announced = response.length
        if announced is not None and announced > limits.max_bytes:
            raise too_large(limits.max_bytes, f"{announced} bytes are announced")
        written = 0
        for chunk in _chunks(response):
            written += len(chunk)
            if written > limits.max_bytes:
                raise too_large(limits.max_bytes, "more came")
            file.write(chunk)
        if announced is not None and written < announced:  # http.client lets this pass
            raise FetchError("cut short", f"{written} of {announced} announced bytes came")


def too_large(max_bytes: int, details: str) -> FetchError:
    """The error for a file above the size limit."""
    return FetchError("too large", f"{details}, the limit is {max_bytes} (--max-bytes)")


def plain(text: object) -> str:
    """A stranger's text in one short line that is safe to show in a terminal and a table."""
    return printable(str(text))[:300]


class _Deadline:
    """The time that is left for one download."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.end = time.monotonic() + limits.time_limit

    def next_wait(self) -> float:
        """Seconds that the next wait may take."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done within {self.limits.time_limit:g} s (--time-limit)")
        if self.limits.stop.is_set():
            raise TimeoutError("stopped")
        return min(left, self.limits.timeout)


class _TimedStream(io.RawIOBase):
    """The bytes of a connection; a timeout of the socket alone would let a server that sends one
    byte now and then, in its headers too, hold on for ever."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: _Deadline) -> None:
        self.raw, self.sock, self.deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self.sock.settimeout(self.deadline.next_wait())
        try:
            count: int | None = self.raw.readinto(buffer)
        except TimeoutError as error:
            wait = self.deadline.next_wait()  # raises if it was the whole time that ran out
            raise TimeoutError(f"nothing came for {wait:g} s (--timeout)") from error
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedStream(self.fp.detach(), sock, deadline))


class _TimedHandler(request.AbstractHTTPHandler):
    """urllib's http and https with the deadline of one download."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self.deadline = deadline

    def http_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self._open_timed(http.client.HTTPConnection, req)

    def https_open(self, req: request.Request) -> http.client.HTTPResponse:
        return self._open_timed(http.client.HTTPSConnection, req, context=_certificates())

    http_request = https_request = request.AbstractHTTPHandler.do_request_

    def _open_timed(
        self, kind: Any, req: request.Request, **kwargs: Any
    ) -> http.client.HTTPResponse:
        def connect(host: str, **kwargs: Any) -> http.client.HTTPConnection:
            connection = kind(host, **kwargs)
            connection.response_class = functools.partial(_TimedResponse, deadline=self.deadline)
            connection._create_connection = functools.partial(_connected, self.deadline)
            return connection

        return self.do_open(connect, req, **kwargs)


def _connected(deadline: _Deadline, place: tuple[str, int], *_unused: Any) -> socket.socket:
    """A connection to the first address of a host that answers; ``socket.create_connection`` would
    wait the whole timeout for each, however many there are."""
    failure = OSError("the host has no address")
    for found in socket.getaddrinfo(*place, type=socket.SOCK_STREAM):
        wait = deadline.next_wait()
        try:
            return socket.create_connection((str(found[4][0]), place[1]), wait)
        except OSError as error:
            failure = error
    raise failure


@functools.cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()  # checks certificates and host names


def _open_redirected(url: str, deadline: _Deadline) -> http.client.HTTPResponse:
    """The answer after redirects. urllib's own way to follow them reads each redirect's body
    whole, however long, and allows ftp."""
    for _ in range(MOST_REDIRECTS + 1):
        url = normalised(url)
        try:
            return _open(url, deadline)
        except HTTPError as error:
            error.close()
            target = error.headers.get("Location")
            if error.code not in REDIRECTS or not target:
                raise FetchError(f"HTTP {error.code}", f"the server says {error.reason}") from error
            # http.client reads headers as Latin-1, whatever bytes they are.
            url = urljoin(url, quote(target, string.punctuation, encoding="latin-1"))
    raise FetchError("too many redirects", f"more than {MOST_REDIRECTS}, the last to {url}")


def normalised(url: str) -> str:
    """The address as it is sent: spaces and non-ASCII letters encoded.

    Raises:
        FetchError: not http or https, no host, or a user name in it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in SCHEMES:
            raise FetchError("address refused", f"{url} is not http or https")
        if not host or parts.username is not None:
            raise FetchError("address refused", f"{url} has no host, or a user name")
        if ":" in host:
            host = f"[{host}]"
        elif not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:  # a port that is no number, brackets that do not close...
        raise FetchError("address refused", f"{url}: {error}") from error
    place = host if port is None else f"{host}:{port}"
    path, query = quote(parts.path, SAFE_IN_URL), quote(parts.query, SAFE_IN_URL)
    return urlunsplit((parts.scheme, place, path, query, ""))


def _open(url: str, deadline: _Deadline) -> http.client.HTTPResponse:
    opener = request.OpenerDirector()  # not build_opener, which adds ftp, file and data
    opener.addheaders = [("User-Agent", USER_AGENT)]
    for handler in (
        request.ProxyHandler(),
        _TimedHandler(deadline),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    try:
        return opener.open(url, timeout=deadline.next_wait())
    except HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _explained(error) from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _explained(error) from error
        if not chunk:
            return
        yield chunk


def _explained(error: Exception) -> FetchError:
    """A failure of the network in the reader's words."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return FetchError("too slow", str(cause))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError("certificate not valid", cause.verify_message)
    if isinstance(cause, socket.gaierror):
        return FetchError("no such host", cause.strerror or str(cause))
    if isinstance(cause, http.client.IncompleteRead):
        return FetchError("cut short", f"{len(cause.partial)} bytes into a part of the answer")
    if isinstance(cause, OSError):  # before HTTPException: a server that hangs up is both
        return FetchError("no connection", cause.strerror or str(cause))
    return FetchError("answer not understood", f"{type(cause).__name__} {cause}")
