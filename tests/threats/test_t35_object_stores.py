"""T35: a bucket that others write in, and a store that answers what it likes, harm neither the server nor
its clients: names stay names, numbers in range, memory bounded, and credentials at the one host.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects import bucket as buckets
from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.drivers.objects.metadata import ObjectAttrs
from ninep.drivers.objects.spool import SMALL, Budget, Spool
from ninep.errors import Refused
from ninep.linux import O_RDONLY, S_IFLNK, S_IFREG, Errno
from ninep.node import Changes, Node, User

KEY, SECRET, TOKEN = "AKIDTESTKEY", "the-secret-of-the-test", "the-session-token-of-the-test"
WHEN = "2026-01-01T00:00:00.000Z"
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
Reply = tuple[int, dict[str, str], bytes]
BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">%s]><ListBucketResult><Name>&z;</Name>
</ListBucketResult>""" % b"".join(
    b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(ord("b"), ord("z") + 1)
)


class HostileStore:
    """An HTTP server that answers as `answer(method, path)` says; `requests` has what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, str], Reply] = lambda method, path: (404, {}, b"")
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        hostile = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: object) -> None:
                pass

            def serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hostile.requests.append((self.command, self.path, dict(self.headers)))
                status, headers, body = hostile.answer(self.command, self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who reads not all of it ends early
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def listing(*keys: str, size: str = "0", after: str = "") -> bytes:
    contents = "".join(
        f"<Contents><Key>{quote(key, safe='')}</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag>"
        f"<LastModified>{WHEN}</LastModified></Contents>"
        for key in keys
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{after}</NextContinuationToken>" if after else ""
    return (
        f'<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>{contents}{more}</ListBucketResult>'
    ).encode()


def an_object(**headers: str) -> dict[str, str]:
    return {"ETag": '"e"', "Last-Modified": DATE, **headers}


def refused(*codes: Errno) -> Any:
    return pytest.raises(Refused, check=lambda refusal: refusal.code in codes)


def names(node: Node) -> list[bytes]:
    return [entry.name for entry in node.opendir().read(0, 1 << 20)][2:]


@pytest.fixture
def hostile() -> Iterator[HostileStore]:
    pytest.importorskip("botocore", reason="needs the extra s3")
    store = HostileStore()
    yield store
    store.close()


@pytest.fixture
def root(hostile: HostileStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Of `s3://bucket/p` at the hostile store."""
    from ninep.drivers.objects.s3 import S3Store

    for name, value in (("ACCESS_KEY_ID", KEY), ("SECRET_ACCESS_KEY", SECRET), ("SESSION_TOKEN", TOKEN)):
        monkeypatch.setenv(f"AWS_{name}", value)
    store = S3Store("bucket", "p/", endpoint=hostile.endpoint, timeout=5.0, attempts=1, connections=4)
    driver = ObjectDriver(store, Settings(cache=0.0))
    yield driver.bucket.root
    driver.close()


@pytest.fixture
def memory() -> Iterator[tuple[StoreInMemory, Node]]:
    store = StoreInMemory()
    driver = ObjectDriver(store, Settings(cache=0.0))
    node = driver.attach(User())
    yield store, node
    node.release()
    driver.close()


class TestKeys:
    def test_that_are_no_names(self, hostile: HostileStore, root: Node) -> None:
        bad = ["p/..", "p/.", "p//x", "p/a\0b", "p/" + "x" * 256, "elsewhere/secret", "../../etc/passwd", "/x", ""]
        hostile.answer = lambda method, path: (200, {}, listing("p/good", *bad))
        assert names(root) == [b"good"]

    def test_of_a_file_and_a_folder(self, memory: tuple[StoreInMemory, Node]) -> None:
        store, root = memory
        store.add("a", b"a file")
        store.add("a/b", b"content")
        assert names(root) == [b"a"]
        assert names(root.walk(b"a")) == [b"b"]

    def test_are_sent_quoted(self, hostile: HostileStore, root: Node) -> None:
        """No name becomes another path, a query, or a line of the request."""
        hostile.answer = lambda method, path: (200, {}, listing()) if method == "GET" else (200, {"ETag": '"e"'}, b"")
        for name in (b"..%2f..%2fx", b"a?acl", b"a#b", b"a\r\nHost: elsewhere", b"a b\\c"):
            root.mkdir(name, 0o755, 0, 0)
        puts = [(path, headers) for method, path, headers in hostile.requests if method == "PUT"]
        assert len(puts) == 5
        for path, headers in puts:
            assert path.startswith("/bucket/p/")
            assert not set("?#\r\n ") & set(path)
            assert headers["Host"] == hostile.endpoint.removeprefix("http://")


class TestNumbers:
    @pytest.mark.parametrize("size", ["-1", "9223372036854775808", "1e3", "x" * 1000, ""])
    def test_a_listing_with_a_size_that_is_none(self, hostile: HostileStore, root: Node, size: str) -> None:
        hostile.answer = lambda method, path: (200, {}, listing("p/f", size=size))
        with refused(Errno.EIO):
            names(root)

    @pytest.mark.parametrize(
        "headers",
        [
            {"ETag": '"e"'},
            {"Last-Modified": DATE},
            {"ETag": '"e"', "Last-Modified": "yesterday"},
            {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 99999 00:00:00 GMT"},
        ],
        ids=["no time", "no ETag", "a word", "a year"],
    )
    def test_an_object_without_what_all_have(self, hostile: HostileStore, root: Node, headers: dict[str, str]) -> None:
        hostile.answer = lambda method, path: (200, {}, listing("p/f")) if method == "GET" else (200, headers, b"")
        with refused(Errno.EIO):
            root.walk(b"f")

    @pytest.mark.parametrize("text", ["-9223372036854775808", "1" * 400, "NaN", "-1.5", "9" * 19, "\u0661"])
    def test_times_fit_in_a_reply(self, text: str) -> None:
        default = ObjectAttrs(S_IFREG | 0o644, 0, 0)
        found = ObjectAttrs.read({"mtime": text, "atime": text, "ctime": text}, 5, default)
        for moment in (found.mtime, found.atime, found.ctime):
            assert -(1 << 63) <= moment // 1_000_000_000 < 1 << 63


class TestContents:
    @pytest.mark.parametrize("body", [b"", b"short", b"far too long" * 10_000])
    def test_of_another_length(self, hostile: HostileStore, root: Node, body: bytes) -> None:
        def answer(method: str, path: str) -> Reply:
            if "list-type" in path:
                return 200, {}, listing("p/f", size="10")
            return (200, an_object(**{"Content-Length": "10"}), b"") if method == "HEAD" else (206, an_object(), body)

        hostile.answer = answer
        file = root.walk(b"f").open(O_RDONLY)
        with refused(Errno.EIO):
            file.read(0, 10)
        file.close()

    @pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096, b"x" * 100_000])
    def test_of_a_link(self, memory: tuple[StoreInMemory, Node], target: bytes) -> None:
        store, root = memory
        store.add("link", target, mode=str(S_IFLNK | 0o777))
        with refused(Errno.EIO):
            root.walk(b"link").readlink()

    def test_names_of_attributes(self, memory: tuple[StoreInMemory, Node]) -> None:
        store, root = memory
        store.add("f", xattr=quote('{"user.a":"","user.b\\u0000user.c":"","system.posix_acl_access":"","":""}'))
        assert root.walk(b"f").listxattr() == [b"user.a"]

    def test_metadata_with_a_line_end_are_one_line_of_a_request(self, hostile: HostileStore, root: Node) -> None:
        """A header that goes on in the next line comes with a line end in it."""
        folded = an_object(**{"x-amz-meta-a": "b\r\n x-amz-acl: public-read", "Content-Type": "text/x\r\n y: z"})

        def answer(method: str, path: str) -> Reply:
            if method == "PUT":
                return 200, {}, b'<CopyObjectResult><ETag>"f"</ETag></CopyObjectResult>'
            return (200, folded, b"") if method == "HEAD" else (200, {}, listing("p/f"))

        hostile.answer = answer
        root.walk(b"f").setattr(Changes(mode=0o600))
        (sent,) = [headers for method, _, headers in hostile.requests if method == "PUT"]
        assert not any("\n" in value or "\r" in value for value in sent.values())
        assert "x-amz-acl" not in {name.lower() for name in sent}


class TestListings:
    def test_the_same_page_for_ever(self, hostile: HostileStore, root: Node) -> None:
        hostile.answer = lambda method, path: (200, {}, listing("p/f", after="again"))
        with refused(Errno.EIO):
            names(root)
        assert len(hostile.requests) <= 3

    @pytest.mark.parametrize("filled", [False, True], ids=["empty", "full"])
    def test_pages_without_an_end(
        self, hostile: HostileStore, root: Node, monkeypatch: pytest.MonkeyPatch, filled: bool
    ) -> None:
        monkeypatch.setattr(buckets, "LISTED", 50)

        def answer(method: str, path: str) -> Reply:
            number = len(hostile.requests)
            return 200, {}, listing(*([f"p/{number}"] if filled else []), after=f"token{number}")

        hostile.answer = answer
        with refused(Errno.EOVERFLOW if filled else Errno.EIO):
            names(root)
        assert len(hostile.requests) <= 110

    def test_entities_that_grow(self, hostile: HostileStore, root: Node) -> None:
        """10 ** 26 bytes, written in a kilobyte."""
        hostile.answer = lambda method, path: (200, {}, BOMB)
        before = time.process_time()
        with refused(Errno.EIO):
            names(root)
        assert time.process_time() - before < 30

    def test_entities_of_files(self, hostile: HostileStore, root: Node) -> None:
        xml = listing("p/f").replace(
            b'<?xml version="1.0"?>', b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
        )
        hostile.answer = lambda method, path: (200, {}, xml.replace(b"<Key>p%2Ff", b"<Key>p%2F&x;"))
        with refused(Errno.EIO):
            names(root)

    @pytest.mark.parametrize("body", [b"", b"no XML", b"<a>" * 100_000, b"\xff\xfe"])
    def test_what_is_no_listing(self, hostile: HostileStore, root: Node, body: bytes) -> None:
        hostile.answer = lambda method, path: (200, {}, body)
        with contextlib.suppress(Refused):
            assert names(root) == []


class TestCredentials:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_are_not_sent_to_another_host(self, hostile: HostileStore, root: Node, status: int) -> None:
        other = HostileStore()
        moved = {"Location": f"{other.endpoint}/bucket/p/", "x-amz-bucket-region": "elsewhere"}
        body = b"<Error><Code>PermanentRedirect</Code><Endpoint>%s</Endpoint></Error>" % other.endpoint.encode()
        hostile.answer = lambda method, path: (status, moved, body)
        try:
            with refused(Errno.EIO, Errno.ENXIO):
                names(root)
            with refused(Errno.EIO, Errno.ENXIO):
                root.mkdir(b"d", 0o755, 0, 0)
            assert other.requests == []
        finally:
            other.close()

    def test_are_in_no_error_and_no_log(
        self, hostile: HostileStore, root: Node, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Although the store sends back what it was sent."""
        echo = f"<Error><Code>X</Code><Message>{KEY} {SECRET} {TOKEN}</Message></Error>".encode()
        texts = []
        with caplog.at_level(logging.DEBUG, "ninep"):
            for status in (400, 403, 500, 503):
                hostile.answer = lambda method, path, status=status: (status, {}, echo)
                for act in (lambda: names(root), lambda: root.mkdir(b"d", 0o755, 0, 0), root.syncfs):
                    try:
                        act()
                    except OSError as error:
                        texts.append(f"{error} {error!r}")
        assert len(texts) >= 8
        assert any(TOKEN in headers.get("X-Amz-Security-Token", "") for _, _, headers in hostile.requests)
        said = " ".join(texts) + " ".join(
            record.getMessage() for record in caplog.records if record.name.startswith("ninep")
        )
        for secret in (SECRET, TOKEN, "Signature="):
            assert secret not in said


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_local_copy_has_no_name_and_is_the_servers_alone(tmp_path: Any) -> None:
    spool = Spool(Budget(1 << 30, str(tmp_path)))
    spool.write(0, bytes(SMALL + 1))
    assert spool._file is not None
    status = os.fstat(spool._file.fileno())
    assert (stat.S_IMODE(status.st_mode), status.st_nlink, status.st_uid) == (0o600, 0, os.geteuid())
    assert os.listdir(tmp_path) == []
