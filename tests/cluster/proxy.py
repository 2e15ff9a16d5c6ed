"""A proxy before an object store that breaks what it is told to break."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

Fault = Callable[[str, str], str]
"""By method and path: "" (pass it on), "503", "hang" (no reply, until the end), "cut" (half of the
body, then the end of the connection), "lose" (a reply as if it had been passed on)."""


class Proxy:
    """It listens at `endpoint`; `fault` decides of each request."""

    def __init__(self, endpoint: str) -> None:
        self.fault: Fault = lambda method, path: ""
        self.requests: list[tuple[str, str]] = []
        self.ended = threading.Event()
        target = urlsplit(endpoint).netloc
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: object) -> None:
                pass

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.requests.append((self.command, self.path))
                fault = proxy.fault(self.command, self.path)
                if fault == "hang":
                    proxy.ended.wait()
                    self.close_connection = True
                elif fault == "503":
                    self.reply(503, {}, b"")
                elif fault == "lose":
                    self.reply(200, {"ETag": '"00000000000000000000000000000000"'}, b"")
                else:
                    upstream = http.client.HTTPConnection(target, timeout=60)
                    try:
                        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                        upstream.request(self.command, self.path, body, headers)
                        answer = upstream.getresponse()
                        data = answer.read()
                    finally:
                        upstream.close()
                    kept = {
                        k: v for k, v in answer.getheaders() if k.lower() not in {"transfer-encoding", "connection"}
                    }
                    self.reply(answer.status, kept, data, half=fault == "cut")

            def reply(self, status: int, headers: dict[str, str], data: bytes, *, half: bool = False) -> None:
                self.send_response(status)
                names = {name.lower() for name in headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-length" not in names:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if half else data)
                self.close_connection = self.close_connection or half

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()
