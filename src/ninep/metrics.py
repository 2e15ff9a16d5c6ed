"""Prometheus metrics of a server, over HTTP (``ninep serve --metrics``, ``pip install
ninep[metrics]``).

Rules

* Nothing is collected before a scrape: the collector reads what ``server.counters`` and the
  connections have at that moment.
* Labels are words of this program and names of exports. What a client says is no label: it could
  make as many as it likes.
* Answered by threads of its own, a few at a time (``READERS``), each for a bounded time
  (``REPLY_TIMEOUT`` from connecting to the last byte), so that slow readers keep no client from its
  files. When all are busy, the reader that has been there longest makes room for a new one, so slow
  readers do not stop scrapes either: that takes milliseconds.
* There are ``/metrics``, ``/healthz`` (200 if the event loop answers within ``HEALTH_TIMEOUT``, else
  503) and ``/readyz`` (200 unless the end has begun, the server drains, or the storage of an export does
  not answer or has an error: ``server.storage_probe``); other paths are 404.
* The peers that may connect are those of the exports: this machine, and the networks that
  ``--allow`` names.

Workers share one socket. Whichever is asked asks the others by their control sockets and adds up what
they say (``together``). prometheus_client has a way of its own for several processes, files that all
of them map: each count would be a write to one, at every request, where here nothing is done before a
scrape.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version as version_of
from socketserver import ThreadingMixIn
from time import monotonic
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ninep.server.access import Access
from ninep.server.connection import Connection
from ninep.server.counters import SECONDS, Answered, Counters, Histogram
from ninep.server.server import Server
from ninep.server.storage_probe import StorageProbe
from ninep.transport import handed_on
from ninep.transport.peers import Peer
from ninep.transport.tcp import Tcp
from ninep.wire.messages import BY_NUMBER

READERS: Final = 8
"""How many may be answered at the same time."""
REPLY_TIMEOUT: Final = 10.0
"""Seconds from connecting to the last byte of the answer."""

HEALTH_TIMEOUT: Final = 2.0

POLL: Final = 0.1

COUNTERS: Final[Sequence[tuple[str, str, Callable[[Counters], float]]]] = (
    ("connections", "Connections that were admitted.", lambda counters: counters.connections),
    ("received_bytes", "Bytes of requests.", lambda counters: counters.received),
    ("sent_bytes", "Bytes of replies.", lambda counters: counters.sent),
    ("pauses", "Times a connection was not read from: too much in flight, or replies not taken.", lambda counters: counters.pauses),
    ("slow_storage", "Times storage turned out to be slow.", lambda counters: counters.slow),
)  # fmt: skip
LABELLED: Final[Sequence[tuple[str, str, str, Callable[[Counters], Iterable[tuple[str, int]]]]]] = (
    ("requests", "type", "Requests.", lambda counters: _requests(counters.requests)),
    ("fuse_requests", "opcode", "Requests of FUSE.", lambda counters: [(name, one.requests) for name, one in tuple(counters.operations.items())]),
    ("errors", "errno", "Error replies.", lambda counters: [(code.name, n) for code, n in tuple(counters.errors.items())]),
    ("limited", "limit", "Requests refused and connections closed because of a limit.", lambda counters: tuple(counters.limits.items())),
    ("attaches", "export", "Attaches that succeeded.", lambda counters: tuple(counters.attaches.items())),
)  # fmt: skip
GAUGES: Final[Sequence[tuple[str, str, Callable[[Connection], int]]]] = (
    ("open_connections", "Connections.", lambda _: 1),
    ("sessions", "Connections that have attached.", lambda one: one.attached),
    ("fids", "Fids, and node ids of FUSE.", lambda one: one.resources.fids),
    ("open_files", "Open files and directories.", lambda one: one.resources.open_files),
    ("open_directories", "Open directories.", lambda one: one.resources.open_directories),
    ("attribute_bytes", "Bytes of extended attributes in fids.", lambda one: one.resources.attribute_bytes),
    ("requests_in_flight", "Requests not answered yet.", lambda one: one.in_flight),
    ("requests_in_threads", "Requests that worker threads are busy with.", lambda one: one.in_threads),
    ("slow_sessions", "Sessions whose storage answers slowly at the moment.", lambda one: one.slow),
)
EXPORTS: Final[Sequence[tuple[str, str, Callable[[Answered], int]]]] = (
    ("received_bytes", "Bytes of requests to an export.", lambda answered: answered.received),
    ("sent_bytes", "Bytes of replies of an export.", lambda answered: answered.sent),
    ("errors", "Error replies of an export.", lambda answered: answered.errors),
)
TIMES: Final[Sequence[tuple[str, str, Callable[[Counters], Histogram]]]] = (
    ("batch_seconds", "What one connection kept the event loop for, at a time.", lambda counters: counters.batches),
    ("thread_seconds", "What requests took in worker threads.", lambda counters: counters.threads),
)


def _requests(instrumented: Sequence[int]) -> Iterator[tuple[str, int]]:
    """By name; types that no client may send are one."""
    others = 0
    for number, count in enumerate(instrumented):
        message = BY_NUMBER.get(number)
        if message is None or number % 2:
            others += count
        elif count:
            yield message.__name__, count
    if others:
        yield "other", others


class ServerCollector(Collector):
    """The metrics of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def describe(self) -> Iterable[Metric]:
        """Nothing has to be collected to know the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        counters, connections = self._server.counters, self._server.instrumented()
        for name, meaning, number in COUNTERS:
            yield CounterMetricFamily(f"ninep_{name}", meaning, value=number(counters))
        for name, label, meaning, rows in LABELLED:
            counter = CounterMetricFamily(f"ninep_{name}", meaning, labels=[label])
            for value, count in rows(counters):
                counter.add_metric([_shown(value)], count)
            yield counter
        for name, meaning, of in GAUGES:
            yield GaugeMetricFamily(f"ninep_{name}", meaning, value=sum(map(of, connections)))
        locks = GaugeMetricFamily("ninep_locks", "Byte ranges that clients hold locked.", labels=["export"])
        for export in self._server.exports:
            locks.add_metric([_shown(export.name)], len(export.locks))
        yield locks
        for name, meaning, times in TIMES:
            histogram = HistogramMetricFamily(f"ninep_{name}", meaning)
            _add(histogram, [], times(counters))
            yield histogram
        yield from _of_requests(counters)
        info = GaugeMetricFamily("ninep_build_info", "The version, as a label.", labels=["version", "python"])
        info.add_metric([version_of("ninep"), ".".join(map(str, sys.version_info[:3]))], 1)
        yield info


def _of_requests(counters: Counters) -> Iterator[Metric]:
    """By opcode, or by export and type."""
    operations = HistogramMetricFamily("ninep_fuse_seconds", "From a request of FUSE to its reply.", labels=["opcode"])
    for name, operation in tuple(counters.operations.items()):
        _add(operations, [name], operation.times)
    yield operations
    requests = HistogramMetricFamily(
        "ninep_request_seconds", "From a request of 9P to its reply.", labels=["export", "type"]
    )
    answered = tuple(counters.answered.items())
    for (export_name, kind), histogram_of in answered:
        message = BY_NUMBER.get(kind)
        if message is not None:
            _add(requests, [_shown(export_name), message.__name__], histogram_of)
    yield requests
    for name, meaning, of_answered in EXPORTS:
        counter = CounterMetricFamily(f"ninep_export_{name}", meaning, labels=["export"])
        sums: Counter[str] = Counter()
        for (export_name, _), one in answered:
            sums[export_name] += of_answered(one)
        for export_name, count in sums.items():
            counter.add_metric([_shown(export_name)], count)
        yield counter


def _shown(name: str) -> str:
    """A label's value is text; the name of an export may be any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _add(histogram: HistogramMetricFamily, labels: Sequence[str], times: Histogram) -> None:
    total, buckets = 0, []
    for end, count in zip((*map(str, SECONDS), "+Inf"), tuple(times.classes), strict=True):
        total += count
        buckets.append((end, total))
    histogram.add_metric(labels, buckets=buckets, sum_value=times.total)


# -- HTTP ----------------------------------------------------------------------------------------------------------------


class _Handler(WSGIRequestHandler):
    """One request, in time; no line in the log for it."""

    timeout = REPLY_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""


class _Http(ThreadingMixIn, WSGIServer):
    """An HTTP server on a socket that is bound already."""

    daemon_threads = True

    def __init__(self, sock: socket.socket, access: Access) -> None:
        super().__init__(sock.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.server_name, self.server_port = "ninep", sock.getsockname()[1]  # not by DNS, which may take its time
        self.setup_environ()
        self._access = access
        self._guard = threading.Lock()
        self._readers: dict[socket.socket, float] = {}
        """The readers that are being answered, and until when; the one that has been there longest
        first.
        """

    def verify_request(self, request: object, client_address: Any) -> bool:
        """Peers that may connect to the shares."""
        del request
        address = ipaddress.ip_address(str(client_address[0]).partition("%")[0])
        return not self._access.refusal(Peer(str(address), getattr(address, "ipv4_mapped", None) or address))

    def service_actions(self) -> None:
        """Called after each request and each ``POLL``: end those whose time is up."""
        now = monotonic()
        with self._guard:
            self._end([reader for reader, until in self._readers.items() if now >= until])

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread; one that has been there longer makes room for it."""
        with self._guard:
            if len(self._readers) >= READERS:
                self._end([next(iter(self._readers))])
            self._readers[request] = monotonic() + REPLY_TIMEOUT
        super().process_request(request, client_address)

    def _end(self, readers: Sequence[socket.socket]) -> None:
        """Their threads, which read or write, see the end of the connection and close it."""
        for reader in readers:
            del self._readers[reader]
            with suppress(OSError):
                reader.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """At its end, in its thread."""
        with self._guard:
            self._readers.pop(request, None)
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that went away is ignored."""


Others = Callable[[], Sequence[str]]
"""The metrics of the other workers, each as text."""
LARGEST: Final = frozenset({"ninep_build_info", "process_start_time_seconds", "process_max_fds", "python_info"})
"""Gauges of which a sum means nothing."""


def together(texts: Iterable[str]) -> Iterator[Metric]:
    """The metrics of several processes as one: sums, of some gauges the largest."""
    families: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            families.setdefault(family.name, family)
            values = sums.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                before = values.get(key, 0.0)
                values[key] = max(before, sample.value) if sample.name in LARGEST else before + sample.value
    for name, family in families.items():
        family.samples[:] = [Sample(sample, dict(labels), value) for (sample, labels), value in sums[name].items()]
        yield family


class _Together(Collector):
    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """The sums."""
        return together(self._texts)


class _Application:
    """What is answered, by path."""

    def __init__(self, server: Server, registry: CollectorRegistry, others: Others | None) -> None:
        self._server = server
        self._registry = registry
        self._others = others
        self._probe = StorageProbe()
        self._loop = asyncio.get_running_loop()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """WSGI (PEP 3333)."""
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return make_wsgi_app(self._whole())(environ, start_response)
        if path == "/healthz":
            return _say(start_response, self._answers(), "ok", "the event loop does not answer")
        if path == "/readyz":
            trouble = self._trouble()
            return _say(start_response, not trouble, "ok", trouble)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"there are /metrics, /healthz and /readyz\n"]

    def _whole(self) -> CollectorRegistry:
        if self._others is None:
            return self._registry
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Together([generate_latest(self._registry).decode(), *self._others()]))
        return registry

    def _trouble(self) -> str:
        """Why a new client should go to another server; empty if it is welcome."""
        if not self._server.ready:
            return "ending"
        return self._probe.trouble(self._server.exports)

    def _answers(self) -> bool:
        """The event loop runs what it is given."""
        answered = threading.Event()
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(answered.set)
        return answered.wait(HEALTH_TIMEOUT)


def _say(start_response: Callable[..., Any], good: bool, yes: str, no: str) -> list[bytes]:
    start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{yes if good else no}\n".encode()]


def registry_of(server: Server) -> CollectorRegistry:
    """The metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(server))
    ProcessCollector(registry=registry)
    return registry


PLACE = "metrics"
"""What its sockets are called from one process to the next (``handed_on``)."""


class MetricsEndpoint:
    """An HTTP endpoint."""

    def __init__(self, sock: socket.socket, access: Access) -> None:
        self._sock = sock
        self._access = access
        self._http: _Http | None = None
        host, port = sock.getsockname()[:2]
        self.address = Tcp(host, port)

    @property
    def sockets(self) -> list[socket.socket]:
        """What it listens at."""
        return [self._sock]

    def leave(self) -> None:
        """Another process answers there now."""
        if self._http is not None:
            threading.Thread(target=self._http.shutdown, name="ninep-leave", daemon=True).start()

    @contextmanager
    def of(self, server: Server, others: Others | None = None) -> Iterator[None]:
        """Serve the metrics of a server, and of its other workers, as long as the ``with`` lasts."""
        self._http = http = _Http(self._sock, self._access)
        http.set_app(_Application(server, registry_of(server), others))
        thread = threading.Thread(target=http.serve_forever, args=(POLL,), name="ninep-metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            http.server_close()
            thread.join()


def metrics_endpoint(address: Tcp, access: Access) -> MetricsEndpoint:
    """An endpoint, which processes that are forked later share. ``OSError`` if the address is taken."""
    there = handed_on.take(address, PLACE)
    if there:
        return MetricsEndpoint(there[0], access)
    sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address.host, address.port))
        sock.listen()  # from now on readers wait, until a process is there and when it is replaced
        sock.setblocking(False)  # another process may have been faster
    except OSError:
        sock.close()
        raise
    return MetricsEndpoint(sock, access)


def text_of(server: Server) -> str:
    """The metrics of this process, as Prometheus reads them."""
    return generate_latest(registry_of(server)).decode()
