"""The options of object stores, and the rows of the registry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from ninep.drivers import DriverType
from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.errors import not_installed
from ninep.host.process_user import own_gid, own_uid
from ninep.options import FLAG, BadOption, OptionSet, mode, number, option, size, text

GROUP: Final = "Object stores"
EXCLUSIVE: Final = "*.lock,*.lck,*.pid,lock,LOCK"
"""Names by which programs keep each other out."""


@dataclass(frozen=True, kw_only=True)
class S3Options(OptionSet):
    """See docs/object-stores.md."""

    s3_endpoint: str = option(
        "",
        text("a URL", "URL"),
        "s3: the address of the store, http://HOST:PORT or https://. Default: Amazon's, or what "
        "AWS_ENDPOINT_URL or the profile says.",
        group=GROUP,
    )
    s3_region: str = option(
        "", text("a region", "REGION"), "s3: the region. Default: AWS_REGION's or the profile's.", group=GROUP
    )
    s3_profile: str = option(
        "", text("a name", "NAME"), "s3: the profile of ~/.aws/config. Default: AWS_PROFILE's.", group=GROUP
    )
    s3_anonymous: bool = option(False, FLAG, "s3: send requests without a signature.", group=GROUP)
    s3_timeout: int = option(
        10, number(1, 600), "s3: seconds for a connection, and for each part of a reply to come.", group=GROUP
    )
    s3_attempts: int = option(3, number(1, 10), "s3: how often a request that failed is sent.", group=GROUP)
    s3_connections: int = option(32, number(2, 256), "s3: requests at once.", group=GROUP)
    s3_cache: int = option(
        5, number(0, 86400), "s3: seconds until changes by other clients of the store are seen.", group=GROUP
    )
    s3_no_metadata: bool = option(
        False,
        FLAG,
        "s3: do not ask for owners, modes, links and times of each file (a request for each): all have "
        "the defaults, and the time of the object.",
        group=GROUP,
    )
    s3_part_size: int = option(
        8 << 20, size(5 << 20, 1 << 30), "s3: bytes above which a file is put in parts of this size.", group=GROUP
    )
    s3_read_ahead: int = option(
        16 << 20, size(0, 1 << 30), "s3: bytes asked for ahead of a reader, for each open file.", group=GROUP
    )
    s3_spool: str = option(
        "", text("a folder", "DIR"), "s3: where files are kept while they are written. Default: TMPDIR.", group=GROUP
    )
    s3_spool_limit: int = option(
        1 << 30, size(1 << 20, 1 << 50), "s3: bytes of all files that are being written.", group=GROUP
    )
    s3_write_back: int = option(
        5,
        number(0, 3600),
        "s3: seconds after its close, or a change of its attributes, until a file is put in the store "
        "(fsync and syncfs put at once); what is not put yet is lost if the server is. 0: closing waits for it.",
        group=GROUP,
    )
    s3_keep: int = option(
        3600,
        number(1, 1 << 30),
        "s3: seconds after which a file that the store does not take is given up.",
        group=GROUP,
    )
    s3_exclusive: str = option(
        EXCLUSIVE,
        text("patterns", "PATTERNS"),
        "s3: an exclusive create of these names (separated by commas, * and ?) asks the store at once; of "
        f"others, when the file is put (default: {EXCLUSIVE})",
        group=GROUP,
    )
    s3_no_conditions: bool = option(
        False, FLAG, "s3: replace what another client changed: for stores without If-Match.", group=GROUP
    )
    s3_rename_limit: int = option(
        10_000, number(1, 1 << 30), "s3: the most objects below a folder that is renamed.", group=GROUP
    )
    s3_uid: int | None = option(
        None, number(0, 0xFFFFFFFE), "s3: the owner of objects that name none. Default: the server's.", group=GROUP
    )
    s3_gid: int | None = option(None, number(0, 0xFFFFFFFE), "s3: their group. Default: the server's.", group=GROUP)
    s3_file_mode: int = option(0o644, mode(), "s3: the permissions of objects that name none.", group=GROUP)
    s3_dir_mode: int = option(0o755, mode(), "s3: and of folders.", group=GROUP)

    def settings(self) -> Settings:
        """As the driver has them."""
        return Settings(
            uid=own_uid() if self.s3_uid is None else self.s3_uid,
            gid=own_gid() if self.s3_gid is None else self.s3_gid,
            file_mode=self.s3_file_mode,
            dir_mode=self.s3_dir_mode,
            part_size=self.s3_part_size,
            read_ahead=self.s3_read_ahead,
            connections=self.s3_connections,
            cache=float(self.s3_cache),
            spool_folder=self.s3_spool,
            spool_limit=self.s3_spool_limit,
            write_back=float(self.s3_write_back),
            keep=float(self.s3_keep),
            exclusive=tuple(filter(None, self.s3_exclusive.split(","))),
            conditions=not self.s3_no_conditions,
            metadata=not self.s3_no_metadata,
            rename_limit=self.s3_rename_limit,
        )


def open_s3(target: str, options: S3Options, _model: object) -> ObjectDriver:
    """The driver for ``s3://BUCKET/PREFIX``. ``BadOption`` for what is not that, ``OSError`` where
    the extra is not installed.
    """
    bucket, _, prefix = target.removeprefix("//").partition("/")
    prefix = prefix.strip("/")
    if not target.startswith("//") or not bucket or "//" in prefix:
        raise BadOption(f"'s3:{target}': write s3://BUCKET or s3://BUCKET/PREFIX")
    try:
        from ninep.drivers.objects.s3 import S3Store  # noqa: PLC0415 - an extra, and half a second
    except ImportError as error:
        if error.name is None or not error.name.startswith("botocore"):
            raise
        raise not_installed("s3:", "botocore", "s3") from error
    if options.s3_spool and not os.path.isdir(options.s3_spool):
        raise BadOption(f"--s3-spool: there is no folder {options.s3_spool!r}")
    try:
        store = S3Store(
            bucket,
            prefix + "/" if prefix else "",
            endpoint=options.s3_endpoint,
            region=options.s3_region,
            profile=options.s3_profile,
            anonymous=options.s3_anonymous,
            timeout=float(options.s3_timeout),
            attempts=options.s3_attempts,
            connections=options.s3_connections,
        )
    except ValueError as error:
        raise BadOption(f"s3: {error}") from error
    return ObjectDriver(store, options.settings(), has_prefix=bool(prefix))


DRIVER: Final = DriverType("a bucket of an object store with the interface of Amazon S3", S3Options, open_s3)
