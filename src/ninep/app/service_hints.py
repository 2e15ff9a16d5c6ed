"""What an administrator of Windows has to type that ``ninep service`` does not do: open the firewall, and
let the account of the service use the folders.
"""

from __future__ import annotations

import ipaddress
import ntpath
from collections.abc import Iterable, Iterator

from ninep.app.config import ServerConfig
from ninep.drivers import FOLDER, find_driver
from ninep.server.access import Rule
from ninep.transport import Address, transport_of

VIRTUAL = "NT SERVICE\\"
"""The beginning of the name of a virtual account, which a service has for itself."""


def firewall(name: str, settings: ServerConfig) -> list[str]:
    """The line that opens the port of each address that other computers can reach."""
    ports = sorted({port for address in settings.listen if (port := _open_port(address))})
    whom = ",".join(_networks(settings.allow))
    return [
        f'New-NetFirewallRule -DisplayName "{name} {port}" -Direction Inbound -Protocol TCP -LocalPort {port} '
        f"-Action Allow{f' -RemoteAddress {whom}' if whom else ''}"
        for port in ports
    ]


def _open_port(address: Address) -> int:
    """Its TCP port, if it is not on the loopback interface alone; or 0."""
    host, port = getattr(address, "host", None), getattr(address, "port", 0)
    if not isinstance(host, str) or not isinstance(port, int) or "network" not in (transport_of(address).peers or ()):
        return 0
    if host == "localhost":
        return 0
    try:
        return 0 if ipaddress.ip_address(host).is_loopback else port
    except ValueError:
        return port


def _networks(rules: Iterable[Rule]) -> Iterator[str]:
    """Those that rules name; nothing if one names all, or none is named."""
    found = [network for rule in rules for network in rule.networks if not network.is_loopback]
    return iter(()) if any(network.prefixlen == 0 for network in found) else map(str, found)


def folders(account: str, settings: ServerConfig) -> list[str]:
    """The line that lets a virtual account change each folder that is served."""
    if not account.upper().startswith(VIRTUAL):
        return []
    served = [(export, find_driver(export.target)) for export in settings.exports]
    return [
        f'icacls "{ntpath.abspath(target)}" /grant "{account}:(OI)(CI){"RX" if export.get("read_only") else "M"}"'
        for export, (driver, target) in served
        if driver == FOLDER
    ]
