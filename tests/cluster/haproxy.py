"""haproxy before several servers of ours: TCP, each server's health asked by HTTP. An answer may
take its time, on a busy machine; a server that was killed refuses the connection.
"""

from __future__ import annotations

from pathlib import Path

from tests.cluster.service import Service, free_ports, listens, program

CONFIGURATION = """\
global
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout check 10s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance leastconn
    option redispatch 1
    option httpchk GET /readyz
    option srvtcpka
    default-server check inter 200ms fall 2 rise 1 tcp-ut 15s
{servers}"""


class HAProxy(Service):
    """It listens at `port`. `gateways`: of each the port of 9P and the port of its metrics."""

    def __init__(self, folder: Path, gateways: list[tuple[int, int]]) -> None:
        (self.port,) = free_ports(1)
        servers = "".join(
            f"    server gateway{number} 127.0.0.1:{port} check port {health}\n"
            for number, (port, health) in enumerate(gateways)
        )
        file = folder / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(port=self.port, servers=servers))
        super().__init__([program("haproxy"), "-db", "-f", str(file)], ready=listens(self.port))
