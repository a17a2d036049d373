"""Downloads from servers that are slow, broken, lying or endless."""

from __future__ import annotations

import functools
import io
import shutil
import ssl
import subprocess
import threading
import time

import picture_server as answers
import pytest

from utils.gathering import download as module
from utils.gathering.download import FetchError, Limits, download, normalised, plain

MAX_BYTES = 100_000
PATIENT = {"timeout": 30, "time_limit": 30}  # for what must not fail on a busy machine
HASTY = {"timeout": 0.3, "time_limit": 0.6}
SOON = 10  # seconds, much less than PATIENT
BODY = bytes(range(256)) * 200


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with answers.running() as server:
        yield server


def fetched(url, **changed) -> bytes:
    file = io.BytesIO()
    limits = {**PATIENT, "max_bytes": MAX_BYTES, **changed}
    download(url, file, Limits(**limits))
    return file.getvalue()


def refused(url, **changed) -> FetchError:
    with pytest.raises(FetchError) as error:
        fetched(url, **changed)
    return error.value


@pytest.mark.parametrize(
    "answer",
    [
        answers.with_body(BODY),
        answers.with_body(BODY, 203),
        answers.without_length(BODY),
        answers.in_chunks(BODY),
        answers.with_body(BODY, Content_Type="text/html"),
    ],
)
def test_the_bytes_come_as_they_are(server, answer):
    assert fetched(server.add("/a", answer)) == BODY


def test_an_empty_answer_is_no_bytes(server):
    assert fetched(server.add("/a", b"")) == b""


def test_it_says_who_asks_and_wants_the_file_uncompressed(server):
    fetched(server.add("/a", BODY))
    assert server.headers["User-Agent"].startswith("maskrcnn-finetune")
    assert server.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 429, 500, 503, 300, 304])
def test_an_error_status_is_the_reason(server, status):
    assert refused(server.add("/a", answers.with_status(status))).reason == f"HTTP {status}"


def test_an_error_status_with_an_endless_page_ends_at_once(server):
    start = time.monotonic()
    url = server.add("/a", answers.endless(500))
    assert refused(url).reason == "HTTP 500"
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answers.silent, "too slow"),
        (answers.dripping, "too slow"),
        (answers.dripping_head, "too slow"),
        (answers.endless(), "too large"),
        (answers.with_body(BODY * 3), "too large"),
        (answers.without_length(BODY * 3), "too large"),
        (answers.in_chunks(BODY * 3), "too large"),
        (answers.with_body(BODY, length=MAX_BYTES + 1), "too large"),
        (answers.with_body(BODY, length=len(BODY) + 1), "cut short"),
        (answers.in_chunks(BODY, is_whole=False), "cut short"),
        (answers.raw(b""), "no connection"),
        (answers.raw(b"hello, I am no web server\r\n\r\n"), "answer not understood"),
        (answers.raw(b"HTTP/1.0 200 OK\r\n" + b"X: " + b"x" * 70_000), "answer not understood"),
        (answers.raw(b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200), "answer not understood"),
        (answers.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 9), "no connection"),
    ],
)
def test_a_bad_answer_has_a_reason_and_ends_in_time(server, answer, reason):
    url = server.add("/a", answer)
    start = time.monotonic()
    limits = HASTY if reason == "too slow" else PATIENT
    assert refused(url, **limits).reason == reason
    assert time.monotonic() - start < SOON


def test_the_wait_for_the_next_bytes_is_limited_by_itself(server):
    start = time.monotonic()
    error = refused(server.add("/a", answers.silent), timeout=0.3)
    assert (error.reason, error.details) == ("too slow", "nothing came for 0.3 s (--timeout)")
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize("answer", [answers.silent, answers.dripping])
def test_the_whole_time_is_limited_by_itself(server, answer):
    start = time.monotonic()
    error = refused(server.add("/a", answer), time_limit=0.3)
    assert (error.reason, error.details) == ("too slow", "not done within 0.3 s (--time-limit)")
    assert time.monotonic() - start < SOON


def test_a_download_just_within_the_size_limit_is_taken(server):
    assert fetched(server.add("/a", BODY), max_bytes=len(BODY)) == BODY
    assert refused(server.add("/a", BODY), max_bytes=len(BODY) - 1).reason == "too large"


def test_nothing_listens():
    with answers.running() as server:
        url = server.url("/a")
    assert refused(url).reason == "no connection"


def test_no_such_host(monkeypatch):
    def unknown(*args, **kwargs):
        raise module.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", unknown)
    error = refused("http://no-such-host.invalid/a.jpg")
    assert (error.reason, error.details) == ("no such host", "Name or service not known")


@pytest.fixture
def host_with(monkeypatch, server):
    """Gives ``many.invalid`` so many addresses that do not answer and, last, the server's."""

    class Socket(module.socket.socket):
        def connect(self, address):
            if address[0].startswith("192.0.2."):
                time.sleep(min(self.gettimeout(), 0.3))
                raise TimeoutError("timed out")
            super().connect(address)

    def host_with(count):
        def found(host, port, *args, **kwargs):
            hosts = [*(f"192.0.2.{n}" for n in range(count)), "127.0.0.1"]
            hosts = hosts if host == "many.invalid" else [host]
            kind = module.socket.AF_INET, module.socket.SOCK_STREAM
            return [(*kind, 6, "", (one, port)) for one in hosts]

        monkeypatch.setattr(module.socket, "getaddrinfo", found)
        return server.add("/a", BODY).replace("127.0.0.1", "many.invalid")

    monkeypatch.setattr(module.socket, "socket", Socket)
    return host_with


def test_the_next_address_is_tried_when_one_does_not_answer(host_with):
    assert fetched(host_with(1)) == BODY


def test_the_time_limit_holds_for_all_addresses_of_a_host_together(host_with):
    start = time.monotonic()
    error = refused(host_with(60), **HASTY)
    assert (error.reason, "--time-limit" in error.details) == ("too slow", True)
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/real", "real", "ABSOLUTE"])
def test_redirects_are_followed(server, status, target):
    real = server.add("/real", BODY)
    target = real if target == "ABSOLUTE" else target
    assert fetched(server.add("/a", answers.redirect(target, status))) == BODY


@pytest.mark.parametrize("status", [201, 304, 404, 503])
def test_only_a_redirect_is_followed(server, status):
    url = server.add("/a", answers.with_body(b"", status, Location=server.add("/real", BODY)))
    if status == 201:
        assert fetched(url) == b""
    else:
        assert refused(url).reason == f"HTTP {status}"
    assert server.asked == ["/a"]


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a b.jpg", "/a%20b.jpg"), ("/é".encode().decode("latin-1"), "/%C3%A9")],
)
def test_a_redirect_that_is_not_encoded_is(server, target, path):
    server.add(path, BODY)
    assert fetched(server.add("/from", answers.redirect(target))) == BODY


def test_five_redirects_are_followed_and_six_are_not(server):
    server.add("/0", BODY)
    for number in range(1, 7):
        server.add(f"/{number}", answers.redirect(f"/{number - 1}"))
    assert fetched(server.url("/5")) == BODY
    assert refused(server.url("/6")).reason == "too many redirects"


def test_a_redirect_loop_ends(server):
    assert refused(server.add("/a", answers.redirect("/a"))).reason == "too many redirects"
    assert len(server.asked) == 6


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher", "FILE"])
def test_a_redirect_to_something_else_is_refused(server, tmp_path, scheme):
    (tmp_path / "secret.png").write_bytes(BODY)
    target = f"{scheme}://{tmp_path}/secret.png"
    assert refused(server.add("/a", answers.redirect(target))).reason == "address refused"


def test_the_body_of_a_redirect_is_not_read(server):
    server.add("/real", BODY)
    url = server.add("/a", answers.endless(302, Location="/real"))
    start = time.monotonic()
    assert fetched(url) == BODY
    assert time.monotonic() - start < SOON


def test_a_redirect_without_a_target_is_an_error_status(server):
    assert refused(server.add("/a", answers.with_status(302))).reason == "HTTP 302"


def test_the_time_limit_holds_for_all_redirects_together(server):
    def slow_redirect(handler):
        handler.server.stopped.wait(0.25)
        answers.redirect("/a")(handler)

    assert refused(server.add("/a", slow_redirect), **HASTY).reason == "too slow"


def test_a_stop_ends_a_download(server):
    limits = Limits(**PATIENT, max_bytes=MAX_BYTES)
    threading.Timer(0.2, limits.stop.set).start()
    start = time.monotonic()
    with pytest.raises(FetchError, match="stopped"):
        download(server.add("/a", answers.dripping), io.BytesIO(), limits)
    assert time.monotonic() - start < SOON


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/a.jpg", "http://h/a.jpg"),
        ("HTTP://H:80/a", "http://h:80/a"),
        ("https://h", "https://h"),
        ("http://h/a b.jpg?q=c d#part", "http://h/a%20b.jpg?q=c%20d"),
        ("http://h/a%20b%2Fc.jpg", "http://h/a%20b%2Fc.jpg"),
        ("http://h/图.png", "http://h/%E5%9B%BE.png"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        ("http://h/../../etc/passwd", "http://h/../../etc/passwd"),
        ("http://h/x\r\nHost: evil", "http://h/xHost:%20evil"),
    ],
)
def test_addresses_are_encoded(url, sent):
    assert normalised(url) == sent
    assert normalised(sent) == sent


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://h/a.jpg",
        "data:image/png;base64,xx",
        "javascript://x",
        "http://",
        "http:///a.jpg",
        "http://user:word@h/a.jpg",
        "http://h:x/a.jpg",
        "http://h:99999/a.jpg",
        "http://[::1/a.jpg",
        "http://" + "ü" * 80 + "/a.jpg",
    ],
)
def test_other_addresses_are_refused_without_a_request(url):
    assert refused(url).reason == "address refused"


def test_a_strangers_text_is_made_harmless():
    assert plain("a\n\x1b[31m b\t\u202e" + "x" * 999) == "a ?[31m b ?" + "x" * 289


def test_what_cannot_be_written_is_not_the_servers_fault(server):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        download(server.add("/a", BODY), Full(), Limits(**PATIENT, max_bytes=MAX_BYTES))


@pytest.fixture
def https_server(server, tmp_path):
    """Speaks TLS with a certificate that nobody knows."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    options = (
        "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem"
    )
    command = ["openssl", "req", *options.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    secure = answers.PictureServer()
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    with answers.running(secure):
        yield secure


def test_certificates_are_checked(https_server, tmp_path, monkeypatch):
    https_server.add("/a", BODY)
    url = f"https://localhost:{https_server.server_port}/a"
    assert refused(url).reason == "certificate not valid"

    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    monkeypatch.setattr(module, "_certificates", lambda: trusting)
    assert fetched(url) == BODY
    other_name = url.replace("localhost", "127.0.0.1")
    assert refused(other_name).reason == "certificate not valid"


def test_the_deadline_holds_over_tls(https_server, tmp_path, monkeypatch):
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    monkeypatch.setattr(module, "_certificates", functools.cache(lambda: trusting))
    https_server.add("/a", answers.dripping)
    url = f"https://localhost:{https_server.server_port}/a"
    assert refused(url, time_limit=0.5).reason == "too slow"


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    server.add("http://pictures.invalid/a.jpg", BODY)
    assert fetched("http://pictures.invalid/a.jpg") == BODY
