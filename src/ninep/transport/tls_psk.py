"""Pre-shared keys for TLS (RFC 8446, 4.2.11): who has one of a file may connect, and needs no certificate.

A file has a line ``IDENTITY:KEY`` for each, the key in hexadecimal, 16 bytes of it or more; it may be read by
its owner only. TLS 1.3 alone, with an ephemeral key exchange (psk_dhe_ke), so that what was recorded cannot be
read by who gets a key later.
"""

from __future__ import annotations

import errno
import os
import ssl
import stat
from collections.abc import Callable, Mapping
from typing import Any, Final

KIND: Final = "psk:"
"""What the names of clients begin with that a key has named."""
SHORTEST: Final = 16
LONGEST: Final = 64
"""Bytes of a key."""
LONGEST_IDENTITY: Final = 256
NEEDS: Final = "a pre-shared key needs Python 3.13 or newer; certificates do not: ninep tls init"
_SIZE: Final = 1 << 20
_own_modes: Final = hasattr(os, "geteuid")


def read_keys(path: str) -> dict[str, bytes]:
    """The keys by their identities. ``OSError`` with a sentence."""
    if not hasattr(ssl.SSLContext, "set_psk_server_callback") or not getattr(ssl, "HAS_PSK", False):
        raise OSError(errno.ENOSYS, NEEDS)
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_SIZE)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    if _own_modes and stat.S_IMODE(mode) & 0o077:
        raise OSError(errno.EPERM, f"{path}: others may read the keys (mode {stat.S_IMODE(mode):o}): chmod 600")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            identity, key = _read_line(line.strip(), f"{path}:{number}")
            if keys.setdefault(identity, key) != key:
                raise OSError(errno.EINVAL, f"{path}:{number}: {identity!r} has two keys")
    if not keys:
        raise OSError(errno.EINVAL, f"{path}: there is no key in it: lines IDENTITY:KEY")
    return keys


def _read_line(line: str, where: str) -> tuple[str, bytes]:
    identity, colon, text = line.rpartition(":")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise OSError(errno.EINVAL, f"{where}: not IDENTITY:KEY, with a key in hexadecimal") from None
    if not colon or not identity or len(identity.encode()) > LONGEST_IDENTITY:
        raise OSError(errno.EINVAL, f"{where}: not IDENTITY:KEY")
    if not SHORTEST <= len(key) <= LONGEST:
        raise OSError(errno.EINVAL, f"{where}: a key has {SHORTEST} to {LONGEST} bytes, this one {len(key)}")
    return identity, key


def _context(protocol: int) -> Any:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    return context


def server_context(keys: Mapping[str, bytes]) -> tuple[ssl.SSLContext, Callable[[], str]]:
    """For one connection; and which client it is, after the handshake. There is no certificate: a client
    without a key gets no further.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    chosen = [""]

    def key_of(identity: str | None) -> bytes:
        chosen[0] = identity or ""
        return keys.get(chosen[0], b"")

    context.set_psk_server_callback(key_of)
    return context, lambda: f"{KIND}{chosen[0]}"


def client_context(path: str) -> ssl.SSLContext:
    """To connect with the first key of a file. No certificate is trusted: a server that has not the key
    cannot show one instead.
    """
    identity, key = next(iter(read_keys(path).items()))
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the key says which server it is
    context.set_psk_client_callback(lambda _hint: (identity, key))
    return context  # type: ignore[no-any-return] # the methods are those of Python 3.13
