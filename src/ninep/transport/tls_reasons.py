"""Why TLS failed, in words."""

from __future__ import annotations

import ssl
from typing import Final

_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client shows no certificate",
    "CERTIFICATE_VERIFY_FAILED": "the certificate of the other side is not accepted",
    "UNSUPPORTED_PROTOCOL": "the other side has no TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "what the other side sends is not TLS",
    "HTTP_REQUEST": "the other side speaks HTTP",
    "HTTPS_PROXY_REQUEST": "the other side speaks HTTP",
    "NO_SHARED_CIPHER": "the other side has no cipher in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the CA of the certificate here",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side does not accept the certificate here",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side does not accept the certificate here",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the certificate here, or a list of revoked ones there, has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the certificate here is revoked",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other side asks for a certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other side has no TLS 1.2 or newer",
}
"""OpenSSL's names of reasons (err.h, sslerr.h), in words."""


def reason(error: ssl.SSLError) -> str:
    """Why TLS failed: a clause, with OpenSSL's name for it."""
    name = getattr(error, "reason", "") or ""
    detail = getattr(error, "verify_message", "")
    words = _REASONS.get(name, "")
    return f"{words} ({detail or name})" if words else detail or name or str(error)
