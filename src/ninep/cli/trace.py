"""``trace``: the messages in a capture of packets, a line each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Final

import click

from ninep.cli import output
from ninep.wire.codec import HEADER_SIZE, Malformed, header
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Rversion, Tversion
from ninep.wire.pcap import NoCapture, Stream, segments

LONGEST: Final = 300
MAX_BYTES: Final = 1 << 26
"""Bytes of a message: what claims to have more is no 9P."""
EXAMPLES: Final = """\b
Examples:
  tcpdump -w files.pcap port 5640; ninep trace files.pcap
  tcpdump -w - port 5640 | ninep trace -
  ninep serve ~/src --pcap session.pcap     (opens in Wireshark, too)
"""
End = tuple[str, int]


class Conversation:
    """The two directions of one connection."""

    def __init__(self, dialect: Dialect) -> None:
        self._streams: dict[End, Stream] = {}
        self._rest: dict[End, bytes] = {}
        self._dialect = dialect
        self.lost = False
        """It is no 9P, or a part of it is missing."""

    def add(self, source: End, sequence: int, data: bytes) -> Iterator[tuple[bool, str]]:
        """A segment; the messages that are whole with it: whether each is a reply, and in words."""
        stream = self._streams.setdefault(source, Stream())
        rest = self._rest.pop(source, b"") + stream.add(sequence, data)
        while len(rest) >= HEADER_SIZE:
            size, number, _ = header(rest, 0)
            if not HEADER_SIZE <= size <= MAX_BYTES:
                self.lost = True
                return
            if len(rest) < size:
                break
            yield bool(number % 2), self._words(rest[:size])
            rest = rest[size:]
        self._rest[source] = rest

    def _words(self, frame: bytes) -> str:
        number, tag = header(frame, 0)[1:]
        try:
            _, message = self._dialect.codec.decode(frame)
        except Malformed as error:
            return f"{tag} malformed: {error}: {frame[:64].hex()}"
        if isinstance(message, Rversion):
            self._dialect = next((one for one in Dialect if one.value == message.version), self._dialect)
        del number
        text = repr(message)
        return f"{tag} {text if len(text) <= LONGEST else f'{text[:LONGEST]}... ({len(frame)} bytes)'}"


def _begins(data: bytes) -> bool:
    return len(data) >= HEADER_SIZE and data[4] in {Tversion.number, Rversion.number}


@click.command(epilog=EXAMPLES)
@click.argument("file")
@click.option("--port", "ports", type=int, multiple=True, metavar="PORT",
              help="Connections of this port, also those whose beginning is not in the capture. Repeatable.")  # fmt: skip
@click.option("--dialect", type=click.Choice([one.value.decode() for one in Dialect][::-1]), default="9P2000.L", show_default=True,
              help="Of connections whose beginning is not in the capture.")  # fmt: skip
def trace(file: str, ports: tuple[int, ...], dialect: str) -> int:
    """Show the 9P messages of a capture of packets (pcap), as 'ninep serve --trace' does.

    FILE is what tcpdump or Wireshark saved, or - for standard input. Connections are those that begin
    with Tversion, and those of --port.
    """
    conversations: dict[frozenset[End], Conversation | None] = {}
    try:
        with sys.stdin.buffer if file == "-" else open(file, "rb") as packets:
            for one in segments(packets):
                key = frozenset((one.source, one.target))
                if key not in conversations:
                    known = _begins(one.data) or one.source[1] in ports or one.target[1] in ports
                    conversations[key] = Conversation(Dialect(dialect.encode())) if known else None
                conversation = conversations[key]
                if conversation is None:
                    continue
                for reply, words in conversation.add(one.source, one.sequence, one.data):
                    host, port = one.target if reply else one.source
                    at = time.strftime("%H:%M:%S", time.gmtime(one.time)) + f"{one.time % 1:.6f}"[1:]
                    output.line(f"{at} {host}:{port} {'->' if reply else '<-'} {words}")
                if conversation.lost:
                    click.echo(f"ninep trace: {one.source[0]}:{one.source[1]}: no 9P from here on", err=True)
                    conversations[key] = None
    except NoCapture as error:
        click.echo(f"ninep trace: {file}: {error}", err=True)
        return 1
    except OSError as error:
        click.echo(f"ninep trace: {file}: {error.strerror}", err=True)
        return 1
    return 0
