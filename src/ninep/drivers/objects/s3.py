"""A bucket of Amazon S3, or of a store with its interface, by botocore."""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import botocore.config
import botocore.exceptions as failures
import botocore.session
import urllib3.exceptions
from botocore.handlers import add_expect_header
from botocore.parsers import ResponseParserError

from ninep.drivers.objects.store import PARTS, Changed, Info, Page, Store
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.objects")

HEADERS: Final = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
COPY_MAX: Final = 5 << 30
"""Bytes that one CopyObject takes."""
COPY_PART: Final = 128 << 20
"""Bytes of each of its parts, at least."""

BY_CODE: Final[Mapping[str, Errno]] = {
    "NoSuchBucket": Errno.ENXIO,
    "InvalidObjectState": Errno.EACCES,  # archived: it has to be restored first
    "KeyTooLongError": Errno.ENAMETOOLONG,
    "MetadataTooLarge": Errno.ENOSPC,
    "EntityTooLarge": Errno.EFBIG,
    "QuotaExceeded": Errno.EDQUOT,
    "NoSuchUpload": Errno.EIO,
    "SlowDown": Errno.EIO,
}
"""Errors of the store by their code, before those by status."""
BY_STATUS: Final[Mapping[int, Errno]] = {
    301: Errno.ENXIO,
    400: Errno.EIO,
    401: Errno.EACCES,
    403: Errno.EACCES,
    404: Errno.ENOENT,
    405: Errno.EPERM,
    416: Errno.ESTALE,  # the object is shorter than what was known of it
    501: Errno.EOPNOTSUPP,
    507: Errno.ENOSPC,
}
"""By the status of the reply; all others, and those after the last attempt (429, 500, 503): EIO."""
BY_FAILURE: Final[tuple[tuple[type[Exception], Errno], ...]] = (
    (failures.NoCredentialsError, Errno.EACCES),
    (failures.PartialCredentialsError, Errno.EACCES),
    (failures.ConnectTimeoutError, Errno.ETIMEDOUT),
    (failures.ReadTimeoutError, Errno.ETIMEDOUT),
    (failures.EndpointConnectionError, Errno.EIO),
    (urllib3.exceptions.ReadTimeoutError, Errno.ETIMEDOUT),
)
"""Failures without a reply; all others: EIO."""
NONSENSE: Final = (
    ResponseParserError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    http.client.HTTPException,
)
"""What a reply without a field, with another type or with a number out of range makes of the library."""
FAILED: Final = (failures.BotoCoreError, failures.HTTPClientError, urllib3.exceptions.HTTPError, OSError)


class S3Store(Store):
    """A bucket, from a prefix on.

    Args:
        bucket: its name.
        prefix: what keys begin with; empty, or ends with ``/``.
        endpoint: a URL; empty: Amazon's for the region, or what the environment and profile say.
        region: empty: as the environment and profile say, else us-east-1.
        profile: of ``~/.aws/config``; empty: the environment's.
        anonymous: requests are not signed.
        timeout: seconds for a connection, and between two parts of a reply.
        attempts: how often a request is sent.
        connections: how many at once.

    Raises ``ValueError`` for what is no URL or region, ``Refused`` for a profile that is not there.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str = "",
        region: str = "",
        profile: str = "",
        anonymous: bool = False,
        timeout: float = 10.0,
        attempts: int = 3,
        connections: int = 32,
    ) -> None:
        session = botocore.session.Session(profile=profile or None)
        signing = {"signature_version": botocore.UNSIGNED} if anonymous else {}
        config = botocore.config.Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=connections,
            parameter_validation=False,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if endpoint else {},
            **signing,
        )
        with _translated(bucket, replies=False):
            found = region or session.get_config_variable("region") or "us-east-1"
            self._client: Any = session.create_client(
                "s3", region_name=found, endpoint_url=endpoint or None, config=config
            )
        # A body is bytes, to be sent again if it has to be: to ask first costs each put another round trip.
        self._client.meta.events.unregister("before-call.s3", add_expect_header)
        self._bucket = bucket
        self._prefix = prefix
        self._attempts = attempts

    def _call(self, verb: str, key: str, **fields: Any) -> Any:
        with _translated(key):
            call: Callable[..., Any] = getattr(self._client, verb)
            return call(Bucket=self._bucket, **fields)

    def _key(self, key: str) -> str:
        return self._prefix + key

    def head(self, key: str) -> Info:
        reply = self._call("head_object", key, Key=self._key(key))
        with _translated(key):
            return Info(
                key,
                _size(reply["ContentLength"]),
                str(reply["ETag"]),
                _nanoseconds(reply["LastModified"]),
                {name.lower(): value for name, value in reply["Metadata"].items()},
                {name: reply[name] for name in HEADERS if name in reply and _is_plain(reply[name])},
            )

    def get(self, key: str, offset: int, count: int, etag: str) -> bytes:
        if not count:
            return b""
        span = f"bytes={offset}-{offset + count - 1}"
        for left in reversed(range(self._attempts)):
            reply = self._call("get_object", key, Key=self._key(key), Range=span, IfMatch=etag)
            try:
                return _body(key, reply["Body"], count)
            except Refused as error:  # of the body: the library repeats only requests
                if not left:
                    raise
                log.debug("%s: once more", error)
        raise AssertionError  # the last attempt has returned or raised

    def put(self, info: Info, body: Buffer, *, etag: str | None, new: bool = False) -> str:
        reply = self._call(
            "put_object",
            info.key,
            Key=self._key(info.key),
            Body=bytes(body),
            Metadata=ascii_metadata(info.metadata or {}),
            **info.headers,
            **_conditions(etag, new),
        )
        return str(reply["ETag"])

    def copy(self, source: str, info: Info, etag: str | None, *, replace: bool) -> str:
        fields: dict[str, Any] = {"CopySource": {"Bucket": self._bucket, "Key": self._key(source)}}
        if etag is not None:
            fields["CopySourceIfMatch"] = etag
        if info.size > COPY_MAX:
            whole = info if replace else self.head(source)._replace(key=info.key)
            return self._copy_parts(whole, fields)
        if replace:
            fields |= {"MetadataDirective": "REPLACE", "Metadata": ascii_metadata(info.metadata or {}), **info.headers}
        reply = self._call("copy_object", source, Key=self._key(info.key), **fields)
        return str(reply["CopyObjectResult"]["ETag"])

    def _copy_parts(self, info: Info, fields: dict[str, Any]) -> str:
        step = max(COPY_PART, -(-info.size // PARTS))
        upload = self.begin(info)
        try:
            parts = []
            for number, start in enumerate(range(0, info.size, step), 1):
                span = f"bytes={start}-{min(start + step, info.size) - 1}"
                reply = self._call(
                    "upload_part_copy", info.key, Key=self._key(info.key), UploadId=upload, PartNumber=number,
                    CopySourceRange=span, **fields,
                )  # fmt: skip
                parts.append(str(reply["CopyPartResult"]["ETag"]))
            return self.complete(info.key, upload, parts, etag=None)
        except OSError:
            self.abort(info.key, upload)
            raise

    def delete(self, key: str) -> None:
        self._call("delete_object", key, Key=self._key(key))

    def listing(self, prefix: str, after: str = "", *, deep: bool = False, limit: int = 1000) -> Page:
        fields: dict[str, Any] = {"Prefix": self._key(prefix), "MaxKeys": limit}
        if after:
            fields["ContinuationToken"] = after
        if not deep:
            fields["Delimiter"] = "/"
        reply = self._call("list_objects_v2", prefix, **fields)
        cut, asked = len(self._prefix), self._key(prefix)
        with _translated(prefix):
            objects = [
                Info(one["Key"][cut:], _size(one["Size"]), str(one["ETag"]), _nanoseconds(one["LastModified"]))
                for one in reply.get("Contents", ())
                if one["Key"].startswith(asked)
            ]
            prefixes = [
                one["Prefix"][cut:] for one in reply.get("CommonPrefixes", ()) if one["Prefix"].startswith(asked)
            ]
            token = reply.get("NextContinuationToken", "") if reply.get("IsTruncated") else ""
        if token and token == after:
            raise Refused(Errno.EIO, f"{prefix!r}: the store's listing has no end")
        return Page(objects, prefixes, token)

    def begin(self, info: Info) -> str:
        reply = self._call(
            "create_multipart_upload",
            info.key,
            Key=self._key(info.key),
            Metadata=ascii_metadata(info.metadata or {}),
            **info.headers,
        )
        return str(reply["UploadId"])

    def part(self, key: str, upload: str, number: int, body: Buffer) -> str:
        reply = self._call(
            "upload_part", key, Key=self._key(key), UploadId=upload, PartNumber=number, Body=bytes(body)
        )  # fmt: skip
        return str(reply["ETag"])

    def complete(self, key: str, upload: str, parts: list[str], *, etag: str | None, new: bool = False) -> str:
        numbered = [{"PartNumber": number, "ETag": part} for number, part in enumerate(parts, 1)]
        reply = self._call(
            "complete_multipart_upload",
            key,
            Key=self._key(key),
            UploadId=upload,
            MultipartUpload={"Parts": numbered},
            **_conditions(etag, new),
        )
        return str(reply["ETag"])

    def abort(self, key: str, upload: str) -> None:
        try:
            self._call("abort_multipart_upload", key, Key=self._key(key), UploadId=upload)
        except OSError as error:
            log.warning("parts of an upload of %r stay in the store: %s", key, error)

    def close(self) -> None:
        self._client.close()


def _conditions(etag: str | None, new: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if new else {"IfMatch": etag} if etag is not None else {}


def ascii_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """As they are sent. What other programs put there in UTF-8 came as Latin-1 (as all of HTTP's
    headers), and goes as an encoded word (RFC 2047), which is how S3 itself returns it; so does what
    would be another line of the request.
    """
    return {name: value if _is_plain(value) else _encoded_word(value) for name, value in metadata.items()}


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _encoded_word(value: str) -> str:
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        raw = value.encode()
    return f"=?UTF-8?B?{base64.b64encode(raw).decode()}?="


def _body(key: str, stream: Any, count: int) -> bytes:
    with contextlib.closing(stream), _translated(key):
        data: bytes = stream.read(count)
        more = len(data) == count and stream.read(1)
    if len(data) != count or more:
        raise Refused(Errno.EIO, f"{key!r}: {'more' if more else len(data)} bytes instead of {count}")
    return data


def _size(count: int) -> int:
    """The bytes of an object, as far as it can have them."""
    if not 0 <= count < 1 << 63:
        raise ValueError(count)
    return count


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


class _translated:  # noqa: N801 - a context manager, used as a function; cheaper than contextlib's
    """Failures of the library as ``Refused``. No text of a request goes into them: its headers have
    signatures.
    """

    __slots__ = ("_key", "_replies")

    def __init__(self, key: str, *, replies: bool = True) -> None:
        self._key = key
        self._replies = replies

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused) or error is None:
            return
        if isinstance(error, failures.ClientError):
            raise self._by_reply(error.response) from error
        if isinstance(error, FAILED):
            code = next((code for kind, code in BY_FAILURE if isinstance(error, kind)), Errno.EIO)
            raise Refused(code, f"{self._key!r}: {type(error).__name__}") from error
        if self._replies and isinstance(error, NONSENSE):
            raise Refused(
                Errno.EIO, f"{self._key!r}: the store's answer makes no sense: {type(error).__name__}"
            ) from error

    def _by_reply(self, reply: Any) -> Refused:
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        word = str(reply.get("Error", {}).get("Code", ""))
        if status in {409, 412} or word in {"PreconditionFailed", "ConditionalRequestConflict"}:
            return Changed(self._key)
        return Refused(
            BY_CODE.get(word, BY_STATUS.get(status, Errno.EIO)), f"{self._key!r}: the store answers {status} {word}"
        )
