"""TLS over TCP: ``tls:HOST:PORT,cert=FILE,key=FILE``.

Certificates are options of the address, because they belong to the name and port that clients check
them for. With ``client-ca`` the listener serves only who shows a certificate that one of these CAs
has signed: then other computers may connect without ``--allow``. With ``psk`` (``tls_psk``) there are keys in
place of certificates, on both sides.

TLS 1.2 or newer; no compression, no renegotiation, no resumed sessions: each connection is verified
anew, by the certificates that there are then.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, NoReturn

from ninep.options import BadOption, Kind, OptionSet, option, read_words, rows, split_commas, text
from ninep.transport import Address, BadAddress, Bound, TransportType, tcp, tls_psk
from ninep.transport.hints import BRIDGE, Hint, Mount
from ninep.transport.sockets import closed_on_error
from ninep.transport.stream import MakeConnection
from ninep.transport.tls_reasons import reason
from ninep.transport.tls_stream import TlsProtocol

FILE: Final[Kind[str]] = text("the name of a file", "FILE")
CERTIFICATE, KEY, CRL = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----", b"-----BEGIN X509 CRL-----"
"""What is in files of these in PEM form (RFC 7468)."""


@dataclass(frozen=True, kw_only=True)
class TlsOptions(OptionSet):
    """What may follow an address to listen at."""

    cert: str = option("", FILE, "The server's certificate, and those of CAs between it and the root, in PEM form.")
    key: str = option("", FILE, "Its private key, in PEM form and not encrypted; may be in the file of cert.")
    client_ca: str = option(
        "", FILE, "Certificates of CAs: serve only clients that show a certificate which one of them has signed."
    )
    crl: str = option(
        "", FILE, "Lists of revoked certificates, in PEM form, of the CAs that sign those of clients (with client-ca)."
    )

    psk: str = option(
        "", FILE, "Lines IDENTITY:KEY, in place of certificates: serve only clients that have one of these keys."
    )


class Certificates:
    """The context of a listener, or its keys: what new connections use. None in a process that it was handed to,
    until that reads the files.
    """

    __slots__ = ("context",)

    def __init__(self, context: ssl.SSLContext | Mapping[str, bytes] | None = None) -> None:
        self.context = context

    def use(self, context: ssl.SSLContext | Mapping[str, bytes]) -> None:
        """For connections from now on."""
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        """Keys are handed to no process."""
        return Certificates, ()


@dataclass(frozen=True, slots=True)
class Tls(Address):
    """``host`` empty: every interface."""

    transport: ClassVar[str] = "tls"
    host: str
    port: int

    @property
    def tcp(self) -> tcp.Tcp:
        """The address of TCP under it."""
        return tcp.Tcp(self.host, self.port)

    @property
    def place(self) -> str:
        """That of TCP."""
        return self.tcp.place

    def __str__(self) -> str:
        return f"tls:{self.tcp}"


@dataclass(frozen=True, slots=True)
class TlsListener(Tls):
    """An address to listen at."""

    options: TlsOptions
    certificates: Certificates | None = field(default=None, compare=False, repr=False)
    """Of an address that was bound."""

    @property
    def certified(self) -> bool:
        """A CA names the clients, or their keys do."""
        return bool(self.options.client_ca or self.options.psk)

    def __str__(self) -> str:
        shown = [(row.key, getattr(self.options, row.name)) for row in rows(TlsOptions)]
        given = "".join(f",{key}={value.replace(',', ',,')}" for key, value in shown if value)
        return f"tls:{self.tcp}{given}"


@dataclass(frozen=True, slots=True)
class TlsServer(Tls):
    """An address to connect to. ``ca``: whose certificates are trusted; empty: those that the system
    trusts. ``cert`` and ``key``: what is shown to a server that asks. ``psk``: a pre-shared key in place of all
    these.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    psk: str = ""


# -- reading ------------------------------------------------------------------------------------------


def parse(rest: str) -> TlsListener:
    """An address to listen at."""
    try:
        server, *parts = split_commas(rest) or [""]
        options = TlsOptions(**read_words(parts, rows(TlsOptions)))
    except BadOption as error:
        raise BadAddress(str(error)) from None
    address = tcp.parse(server)
    if options.psk and (options.cert or options.key or options.client_ca or options.crl):
        raise BadAddress("psk is in place of certificates: it excludes cert, key, client-ca and crl")
    if not options.cert and not options.psk:
        raise BadAddress("a certificate is needed: tls:HOST:PORT,cert=FILE,key=FILE")
    if options.crl and not options.client_ca:
        raise BadAddress("crl is about certificates of clients: it needs client-ca=FILE")
    return TlsListener(address.host, address.port, options)


def parse_remote(rest: str) -> TlsServer:
    """An address to connect to."""
    if "," in rest:
        raise BadAddress("cert and key follow an address to listen at; to connect, write tls://HOST:PORT")
    address = tcp.parse_remote(rest)
    return TlsServer(address.host, address.port)


# -- certificates -------------------------------------------------------------------------------------


def _check_pem(path: str, mark: bytes, sentence: str) -> bytes:
    """The content. ``OSError`` with a sentence for a file without what it should have."""
    try:
        with open(path, "rb") as file:
            content = file.read(1 << 26)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    if mark not in content:
        raise OSError(errno.EINVAL, f"{path}: {sentence}")
    return content


def _encrypted() -> NoReturn:
    raise ValueError("encrypted")


def _load_chain(context: ssl.SSLContext, cert: str, key: str) -> None:
    _check_pem(cert, CERTIFICATE, "it has no certificate in PEM form")
    _check_pem(key or cert, KEY, "it has no private key in PEM form")
    try:
        context.load_cert_chain(cert, key or None, _encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OSError(
                errno.EINVAL, f"{key or cert}: this key does not belong to the certificate in {cert}"
            ) from error
        raise OSError(
            errno.EINVAL, f"{cert}, {key or cert}: certificate or key is damaged ({reason(error)})"
        ) from error
    except ValueError as error:
        raise OSError(
            errno.EINVAL, f"{key or cert}: the key is encrypted, and a server cannot ask for a pass phrase"
        ) from error


def _load_ca(context: ssl.SSLContext, path: str) -> None:
    _check_pem(path, CERTIFICATE, "it has no certificate in PEM form")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise OSError(errno.EINVAL, f"{path}: a certificate is damaged ({reason(error)})") from error


def _load_crl(context: ssl.SSLContext, path: str) -> None:
    content = _check_pem(path, CRL, "it has no list of revoked certificates in PEM form")
    if CERTIFICATE in content:  # it would become a CA that is trusted
        raise OSError(errno.EINVAL, f"{path}: it has a certificate, which belongs into the file of client-ca")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise OSError(errno.EINVAL, f"{path}: a list is damaged ({reason(error)})") from error
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def server_context(options: TlsOptions) -> ssl.SSLContext | Mapping[str, bytes]:
    """What a listener needs, from its files: a context, or its keys. ``OSError`` with a sentence."""
    if options.psk:
        return tls_psk.read_keys(options.psk)
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    _load_chain(context, options.cert, options.key)
    if options.client_ca:
        _load_ca(context, options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if options.crl:
        _load_crl(context, options.crl)
    return context


def client_context(address: TlsServer) -> ssl.SSLContext:
    """What connecting needs: the server's certificate is verified, with its name. ``OSError`` with a
    sentence.
    """
    context = tls_psk.client_context(address.psk) if address.psk else _context(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    if address.psk:
        return context
    if address.ca:
        _load_ca(context, address.ca)
    else:
        context.load_default_certs()
    if address.cert:
        _load_chain(context, address.cert, address.key)
    return context


# -- listening ----------------------------------------------------------------------------------------


def bind(address: TlsListener) -> Bound:
    """Sockets as of TCP. The files are read first."""
    certificates = Certificates(server_context(address.options))
    return _over(address, tcp.bind(address.tcp), certificates)


def adopt(address: TlsListener, sockets: list[socket.socket]) -> Bound:
    """Sockets that are bound."""
    return _over(address, tcp.adopt(address.tcp, sockets), Certificates(server_context(address.options)))


def _over(address: TlsListener, bound: Bound, certificates: Certificates) -> Bound:
    became = bound.address
    port = became.port if isinstance(became, tcp.Tcp) else address.port
    return Bound(replace(address, port=port, certificates=certificates), bound.sockets, bound.close)


def stream(make: MakeConnection, address: TlsListener) -> TlsProtocol:
    """For a connected socket of an address that was bound."""
    context = None if address.certificates is None else address.certificates.context
    if context is None:
        raise OSError(errno.EINVAL, f"{address} is not listened at")
    if isinstance(context, Mapping):
        return TlsProtocol(make, *tls_psk.server_context(context))
    return TlsProtocol(make, context)


def renew(address: TlsListener) -> Callable[[], None]:
    """The files again, for connections from now on."""
    context = server_context(address.options)

    def put() -> None:
        if address.certificates is not None:
            address.certificates.use(context)

    return put


# -- connecting ---------------------------------------------------------------------------------------


class TlsSocket(ssl.SSLSocket):
    """A connected socket whose errors are those of a socket."""

    def recv_into(self, *args: Any, **named: Any) -> int:
        """As of a socket. ``BlockingIOError``, ``ConnectionError``."""
        return self._as_socket(super().recv_into, *args, **named)

    def send(self, *args: Any, **named: Any) -> int:
        """As of a socket. ``BlockingIOError``, ``ConnectionError``."""
        return self._as_socket(super().send, *args, **named)

    def _as_socket(self, call: Callable[..., int], *args: Any, **named: Any) -> int:
        try:
            return call(*args, **named)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError(errno.EAGAIN, "not now") from error
        except ssl.SSLError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, f"TLS: {reason(error)}") from error


def failed(address: TlsServer, error: OSError) -> ConnectionAbortedError:
    """Why there is no connection, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"the server's certificate is not valid: {error.verify_message}"
        if error.verify_code in _UNKNOWN_CA:
            words += f" (trusted are the CAs of {address.ca or 'this system; name another with --tls-ca or tls_ca'})"
    elif isinstance(error, ssl.SSLError) and error.reason and error.reason not in _NOT_TLS:
        words = f"TLS: {reason(error)}"
    else:  # it has closed, or sent something else
        words = "the server does not answer in TLS: is it a plain TCP port?"
    return ConnectionAbortedError(errno.ECONNABORTED, words)


_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"})
_FAILURES: Final = (ssl.SSLError, ConnectionResetError, ConnectionAbortedError)
_UNKNOWN_CA: Final = frozenset({2, 18, 19, 20, 21})
"""X509_V_ERR_*, x509_vfy.h: no issuer, self-signed (in a chain), no issuer here, leaf alone."""


def connect(address: TlsServer, timeout: float | None) -> socket.socket:
    """A connected socket, after the handshake."""
    context = client_context(address)
    sock = tcp.connect(address.tcp, timeout)
    with closed_on_error([sock]):
        try:
            return context.wrap_socket(sock, server_hostname=address.host)
        except _FAILURES as error:
            raise failed(address, error) from error


async def dial(loop: Any, make: Any, address: TlsServer) -> Any:
    """Connect in an event loop."""
    context = client_context(address)
    try:
        return await loop.create_connection(make, address.host, address.port, ssl=context, server_hostname=address.host)
    except _FAILURES as error:
        raise failed(address, error) from error


def with_files(address: TlsServer, ca: str, cert: str, key: str, psk: str) -> TlsServer:
    """The address with these files. ``BadAddress``."""
    if key and not cert:
        raise BadAddress("a key is of use with its certificate only")
    if psk and (ca or cert):
        raise BadAddress("tls_psk is in place of certificates: it excludes tls_ca, tls_cert and tls_key")
    return replace(address, ca=ca, cert=cert, key=key, psk=psk)


# -- hints --------------------------------------------------------------------------------------------


def hints(address: TlsListener, mount: Mount) -> list[Hint]:
    """A kernel has no TLS: socat has it, behind a unix socket."""
    host = address.host or socket.gethostname()
    if address.options.psk:
        where = "where psk has a line of the file here, with mode 600"
        return [Hint(where, f"ninep ls tls://{tcp.Tcp(host, address.port)}/ --tls-psk psk")]
    files = ["--tls-ca ca.pem", *(["--tls-cert client.pem"] if address.options.client_ca else [])]
    ours = f"ninep ls tls://{tcp.Tcp(host, address.port)}/ {' '.join(files)}"
    line = mount.unix(BRIDGE)
    more = ",cert=client.pem" if address.options.client_ca else ""
    socat = f"socat UNIX-LISTEN:{BRIDGE} OPENSSL:{tcp.Tcp(host, address.port)},cafile=ca.pem{more} & sleep 1; "
    where = "where ca.pem has the CA of the certificate"
    return [Hint(where, ours), Hint(f"{where}, as root", line and socat + line)]


TRANSPORT: Final = TransportType(
    form="tls:HOST:PORT,cert=FILE,key=FILE",
    remote=lambda address: not address.certified and not tcp.stays_here(address.host),
    parse=parse,
    bind=bind,
    adopt=adopt,
    parse_remote=parse_remote,
    connect=connect,
    dial=dial,
    hints=hints,
    peers=frozenset({"network", "cert"}),
    raw=False,
    stream=stream,
    renew=renew,
    with_files=with_files,
    options=TlsOptions,
)
