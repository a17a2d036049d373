"""A server on localhost that answers as servers out there do, for the tests of tools.gather."""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import numpy as np
from PIL import Image

STEP = 0.05  # seconds between the bytes of an answer that drips


class PictureServer(ThreadingHTTPServer):
    """Answers ``GET path`` with ``answers[path](handler)``, 404 where there is none.

    ``asked`` are the requests in their order, ``headers`` the last one's headers.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.headers, self.stopped = {}, [], {}, Event()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def add(self, path, answer):
        self.answers[path] = answer if callable(answer) else with_body(answer)
        return self.url(path)

    def handle_error(self, request, client_address):
        """A client that hangs up is what most of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers = dict(self.headers)
        self.server.answers.get(self.path, with_status(404))(self)

    def log_message(self, format, *args):
        pass

    def write_head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


@contextmanager
def running(server=None):
    server = server or PictureServer()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def with_body(body, status=200, length=None, **headers):
    """An honest answer, unless ``length`` says otherwise."""

    def answer(handler):
        handler.write_head(status, Content_Length=length or len(body), **headers)
        handler.wfile.write(body)

    return answer


def with_status(status):
    return with_body(b"<html>sorry</html>", status)


def redirect(target, status=302):
    return with_body(b"", status, Location=target)


def without_length(body):
    def answer(handler):
        handler.write_head(200)
        handler.wfile.write(body)

    return answer


def in_chunks(body, is_whole=True):
    def answer(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.write_head(200, Transfer_Encoding="chunked", Connection="close")
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        handler.wfile.write(b"0\r\n\r\n" if is_whole else b"ffff\r\nand")

    return answer


def endless(status=200, **headers):
    def answer(handler):
        handler.write_head(status, **headers)
        while not handler.server.stopped.is_set():
            handler.wfile.write(bytes(1 << 16))

    return answer


def silent(handler):
    handler.server.stopped.wait()


def dripping(handler):
    handler.write_head(200, Content_Length=10_000)
    while not handler.server.stopped.wait(STEP):
        handler.wfile.write(b"\xff")


def dripping_head(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    while not handler.server.stopped.wait(STEP):
        handler.wfile.write(b"x")


def raw(answer):
    """Bytes that are no HTTP."""
    return lambda handler: handler.wfile.write(answer)


def header_bomb():
    """A PNG whose header is right and announces 60,000 x 60,000 pixels, which never come."""
    png = picture(1)
    header = png[12:16] + (60_000).to_bytes(4, "big") * 2 + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def picture(seed, format="PNG", mode="RGB", size=(24, 16), **options):
    """The bytes of a drawn picture; equal seeds have equal pixels."""
    values = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    if mode == "I;16":
        drawn = Image.fromarray(values[:, :, 0].astype(np.uint16) * 257)
    else:
        drawn = Image.fromarray(values).convert(mode)
    file = io.BytesIO()
    drawn.save(file, format, **options)
    return file.getvalue()
