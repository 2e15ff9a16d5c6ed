"""Why TLS failed, in words."""

import ssl

import pytest

from ninep.transport.tls_reasons import reason


def failed(name: str | None, message: str = "", text: str = "") -> ssl.SSLError:
    error = ssl.SSLError(1, text)
    error.reason = name  # type: ignore[assignment]
    if message:
        error.verify_message = message  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (failed("HTTP_REQUEST"), "the other side speaks HTTP (HTTP_REQUEST)"),
        (
            failed("CERTIFICATE_VERIFY_FAILED", "certificate has expired"),
            "the certificate of the other side is not accepted (certificate has expired)",
        ),
        (failed("SOMETHING_NEW"), "SOMETHING_NEW"),
        (failed("SOMETHING_NEW", "unable to get issuer"), "unable to get issuer"),
        (failed(None, text="EOF occurred"), str(ssl.SSLError(1, "EOF occurred"))),
    ],
)
def test_reasons(error: ssl.SSLError, words: str) -> None:
    assert reason(error) == words
