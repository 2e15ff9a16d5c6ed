"""A server's configuration: exports, addresses, limits, access; checked before anything is opened.

``ServerConfig`` is what ``ninep serve`` makes of its options, and what a program may fill in
itself. A wrong value is ``BadOption`` with a sentence for the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ninep.app.control_path import parse_control
from ninep.app.exports import ExportConfig, export_rows
from ninep.log_format import FORMATS
from ninep.options import FLAG, BadOption, OptionSet, choice, mode, number, option, parsed, show_amount, size
from ninep.server.access import Access, Rule, parse_rule
from ninep.server.limits import MIN_MSIZE, Limits
from ninep.transport import Address, addresses, forms, transport_of
from ninep.transport.tcp import Tcp

MAX_MSIZE: Final = 4 << 20 | 24
MSIZES: Final = f"{MIN_MSIZE} to {show_amount(MAX_MSIZE & ~24)}"
ADDRESS_GROUP: Final = "Addresses and workers"
ACCESS_GROUP: Final = "Access and users"
LOG_GROUP: Final = "Logging and metrics"

ADDRESS: Final = parsed("ADDRESS", addresses.parse, Address)
PEER: Final = parsed("WHO", parse_rule, Rule)


def parse_metrics(text: str) -> Tcp:
    """``HOST:PORT``, or a port of the loopback."""
    if not addresses.is_tcp(text):
        raise BadOption(f"{text!r}: metrics are served over HTTP: write PORT or HOST:PORT")
    return addresses.parse_tcp(text)


@dataclass(frozen=True, kw_only=True)
class MessageOptions(OptionSet):
    """The size of messages as people mean it; ``limits_with`` makes a limit of it."""

    msize: int | None = option(
        None,
        size(1, 1 << 31),
        "The largest message, in bytes or with K or M; up to 4M.  [default: 1M]",
        group="Limits",
    )


@dataclass(frozen=True)
class ServerConfig(OptionSet):
    """The configuration of ``ninep serve``. ``exports`` and ``limits`` have options of
    their own.
    """

    exports: Sequence[ExportConfig]
    limits: Limits = field(default_factory=Limits)
    listen: tuple[Address, ...] = option(
        (addresses.parse(addresses.DEFAULT),),
        ADDRESS,
        f"Where to accept clients: {forms()}. Repeatable.",
        group=ADDRESS_GROUP,
        short="l",
        repeat=True,
    )
    workers: int = option(
        1,
        number(1, 256),
        "Processes that share the work, one for each core to fill. Connections are spread evenly.",
        group=ADDRESS_GROUP,
        short="w",
    )
    socket_mode: int | None = option(
        None,
        mode(),
        "Permissions of unix sockets (600 unless given): write permission is permission to connect.",
        group=ACCESS_GROUP,
    )
    allow: tuple[Rule, ...] = option(
        (),
        PEER,
        "Peers that may connect: a network, any, uid:N, gid:N, cid:N, cert:NAME, psk:NAME (see below). Repeatable. "
        "Needed to listen off the loopback.",
        group=ACCESS_GROUP,
        repeat=True,
    )
    allow_overlap: bool = option(
        False,
        FLAG,
        "Serve exports that show the same files although they keep owners in different ways: "
        "clients of one can then forge what the other shows.",
        group="Exports",
    )
    metrics: Tcp | None = option(
        None,
        parsed("ADDRESS", parse_metrics, Tcp),
        "Serve Prometheus metrics over HTTP at PORT (on the loopback) or HOST:PORT, those of "
        "all workers together. Needs ninep[metrics].",
        group=LOG_GROUP,
    )
    control: str | None = option(
        None,
        parsed("PATH", parse_control, str),
        "The socket that 'ninep status', 'top' and 'ctl' ask, for this user and root alone; 'none': "
        "there is none; on Windows a named pipe. [default: in $RUNTIME_DIRECTORY, or $XDG_RUNTIME_DIR/ninep if "
        "there is one]",
        group=LOG_GROUP,
    )
    ready_fd: int | None = option(
        None,
        number(0, 1 << 30),
        "Write the addresses to this descriptor, a line each, and close it, as soon as clients "
        "can connect. (A service manager is notified through NOTIFY_SOCKET, with Type=notify.)",
        group=LOG_GROUP,
    )

    log_format: str = option(
        "text", choice(tuple(FORMATS)), "The form of the lines of the log, for people or programs.", group=LOG_GROUP
    )
    audit_log: str | None = option(
        None,
        parsed("FILE", str, str),
        "Write the audit log to this file, JSON lines, and not to the log; what is in it is for '--audit' to say.",
        group=LOG_GROUP,
    )
    audit_size: int | None = option(
        None,
        size(1, 1 << 40),
        "Move the file of the audit log to FILE.1 (to FILE.5 at last) when it has this size.",
        group=LOG_GROUP,
    )
    pcap: str | None = option(
        None,
        parsed("FILE", str, str),
        "Write every message to a capture that 'ninep trace' and Wireshark read; it has what is read and written.",
        group=LOG_GROUP,
    )
    verbose: bool = option(False, FLAG, "Log attaches and refused requests.", group=LOG_GROUP, short="v")
    trace: bool = option(False, FLAG, "Log every message.", group=LOG_GROUP)

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        self._check_exports()
        if not MIN_MSIZE <= self.limits.msize <= MAX_MSIZE:
            raise BadOption(f"msize: {show_amount(self.limits.msize)} is out of range ({MSIZES})")
        self._check_addresses()
        self._check_audit()
        self._check_effects()

    @property
    def access(self) -> Access:
        """The peers that may connect."""
        return Access(self.allow)

    def _check_exports(self) -> None:
        if not self.exports:
            raise BadOption(
                "no folder to serve: give DIR or --export NAME=DIR, or write [exports.NAME] in a configuration file"
            )
        names = [export.name.strip("/") for export in self.exports]
        for name in names:
            if names.count(name) > 1:
                raise BadOption(
                    f"two exports are named {name!r}" if name else "two folders without a name: use --export NAME=DIR"
                )

    def _check_audit(self) -> None:
        if self.pcap is not None and self.workers > 1:
            raise BadOption("pcap cannot be combined with --workers")
        audits = any(export.get("audit") != "off" for export in self.exports)
        if self.audit_size is not None and self.audit_log is None:
            raise BadOption("audit-size needs --audit-log")
        if self.audit_log is not None and not audits:
            raise BadOption("audit-log needs an export with --audit denials, changes or opens")

    def _check_addresses(self) -> None:
        if not self.listen:
            raise BadOption("listen: no address to listen at")
        single = [address for address in self.listen if transport_of(address).single]
        if self.workers > 1 and single:
            raise BadOption(f"{single[0]} is a single connection: it cannot be combined with --workers")
        if len(set(single)) < len(single):
            raise BadOption(f"--listen {single[0]} can be given only once")
        if self.socket_mode is not None:
            if not any(transport_of(address).with_mode for address in self.listen):
                raise BadOption("socket-mode needs a unix socket to listen on (--listen unix:PATH)")
            object.__setattr__(self, "listen", tuple(_with_mode(one, self.socket_mode) for one in self.listen))
        names = {export.name.strip("/") for export in self.exports}
        for one in self.listen:
            if one.export and one.export.strip("/") not in names:
                raise BadOption(f"{one}: no export is named {one.export!r} (--export NAME=DIR)")
        for address in (*self.listen, self.metrics):
            if address is not None and not self.access.remote and transport_of(address).remote(address):
                raise BadOption(
                    f"{address} can be reached from other computers, and 9P has no passwords: "
                    "state which may connect with --allow, for example --allow 192.168.0.0/16 "
                    "(--allow any admits all computers)"
                )

    def _check_effects(self) -> None:
        """Refuse what would have no effect: the file or the command line relies on it."""
        places = (*self.listen, *([self.metrics] if self.metrics is not None else []))
        shown = ", ".join(map(str, places))
        kinds = [transport_of(address).peers for address in places]
        known = None if None in kinds else frozenset[str]().union(*(kind for kind in kinds if kind is not None))
        if known is not None and not any(address.certified for address in places):
            known -= {"cert"}
        for rule in self.allow:
            if rule.rights:
                raise BadOption(f"allow: {rule}: what a peer may do is stated for an export (NAME=DIR,allow={rule})")
            if known is not None and rule.kind not in known:
                named = f" (what is known of them: {', '.join(sorted(known))})" if known else ""
                raise BadOption(f"allow: {rule} names no client that can come by {shown}{named}")
        certificates = [f"allow: {rule}" for one in self.exports for rule in one.get("allow") if rule.kind == "cert"]
        certificates += [f"cert-user: {user}" for one in self.exports for user in one.get("cert_user")]
        if certificates and known is not None and "cert" not in known:
            raise BadOption(
                f"{certificates[0]}: no certificates are asked for at {shown}: "
                "listen at tls:HOST:PORT,cert=FILE,key=FILE,client-ca=FILE (or psk=FILE)"
            )
        squash = {export.get("squash") for export in self.exports if export.has("squash")}
        if "peer" in squash and known is not None and "uid" not in known:
            raise BadOption(
                f"squash: the system does not say which user is at the other end of {shown}: listen at unix:PATH"
            )
        default = next(row.default for row in export_rows() if row.name == "anon")
        if not squash & {"root", "all"} and any(export.get("anon") != default for export in self.exports):
            raise BadOption("anon has no effect without squash root or all")


def _with_mode(address: Address, bits: int) -> Address:
    with_mode = transport_of(address).with_mode
    return with_mode(address, bits) if with_mode else address


def limits_with(msize: int | None, given: Mapping[str, Any]) -> Limits:
    """The limits with what was given. A round msize is meant as what one read carries: 1M lets 1
    MiB through, with room for the header.
    """
    changed = dict(given)
    if msize is not None and "msize" in changed:
        raise BadOption(
            f"msize: {show_amount(msize)} and limit msize={show_amount(changed['msize'])} exclude each other"
        )
    if msize is not None:
        if not MIN_MSIZE <= msize <= MAX_MSIZE:
            raise BadOption(f"msize: {show_amount(msize)} is out of range ({MSIZES})")
        changed["msize"] = msize + 24 if msize & (msize - 1) == 0 and msize >= 1 << 16 else msize
    return Limits(**changed)
