"""An export from its options: a driver by the scheme of what is served, a security model, layers,
and the peers that may attach.

``ExportConfig`` holds what was asked for, checked, and opens nothing. ``build`` opens it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from ninep.drivers import DRIVERS, DriverType, find_driver
from ninep.layers import LAYERS, Layer, LayerType
from ninep.layers.id_map import parse_user
from ninep.layers.no_devices import no_devices
from ninep.layers.read_only import read_only
from ninep.options import BadOption, OptionSet, Row, choice, option, parsed, read_words, rows, split_commas, unknown
from ninep.security import ALIASES, AUTO, MODELS, Choice, model_rows
from ninep.server.access import Access, Rule, parse_rule
from ninep.server.exports import Export
from ninep.server.throttle import LIMITS, Limit, Rates, Throttle, parse_limit

USERS: Final = "Access and users"
FAIR: Final = "Fair shares"
EXPORTS: Final = "Exports"


_NAMES: Final = choice(lambda: (*MODELS, *ALIASES, AUTO))


def _read_model(text: str) -> str:
    name = _NAMES.read(text)
    return ALIASES.get(name, name)


MODEL: Final = dataclasses.replace(_NAMES, read=_read_model)
"""A security model by its name or an alias."""


LIMIT: Final = parsed("LIMIT=RATE[:MAX[:SECONDS]]", parse_limit, Limit)


class CertUser(NamedTuple):
    """A name of certificates, and the user that it stands for."""

    name: str
    uid: int
    gid: int

    @classmethod
    def parse(cls, text: str) -> CertUser:
        """``NAME=UID`` or ``NAME=UID:GID``; without a group it has the number of the user."""
        name, equals, user = text.rpartition("=")
        if not equals or not name:
            raise BadOption(f"{text!r} is not NAME=UID or NAME=UID:GID")
        return cls(name, *parse_user(user))

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.name}={self.uid}:{self.gid}"


RESTRICTIONS: Final = {"ro": read_only, "nodev": no_devices}
"""What rules of ``allow`` can say behind ``=``."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OptionSet):
    """The options that every export has."""

    security_model: str = option(
        AUTO,
        MODEL,
        "What of the guest's owners, modes and links is real on the host. auto: mapped-owner, or "
        "mapped-xattr where there are no permission bits, mapped-file on a network or FUSE file system without extended attributes.",
        group=EXPORTS,
        short="s",
    )
    allow: tuple[Rule, ...] = option(
        (),
        parsed("WHO", parse_rule, Rule),
        "Which peers may attach, and =ro, =nodev for what they may do; without any, all that may connect.",
        group=USERS,
        repeat=True,
    )
    cert_user: tuple[CertUser, ...] = option(
        (),
        parsed("NAME=UID[:GID]", CertUser.parse, CertUser),
        "The user of a client by a name of its certificate (tls: with client-ca), or by psk:IDENTITY of its key, whatever the client "
        "states. Other certificates cannot attach then. Repeatable.",
        group=USERS,
        repeat=True,
    )
    throttle: tuple[Limit, ...] = option(
        (),
        LIMIT,
        "How much all clients of an export together may do in a second: bps-read=10M is bytes, iops-total=500 operations; there are "
        f"{', '.join(LIMITS)}. MAX for SECONDS (1) is what a burst may have. Of several limits each holds.",
        group=FAIR,
        repeat=True,
    )
    throttle_connection: tuple[Limit, ...] = option((), LIMIT, "The same for each connection.", group=FAIR, repeat=True)
    throttle_user: tuple[Limit, ...] = option(
        (), LIMIT, "The same for each user, whatever the connection.", group=FAIR, repeat=True
    )


THROTTLE: Final = ("throttle", "throttle_connection", "throttle_user")
LIVE: Final = dict.fromkeys(("allow", *THROTTLE), ())
"""What can become another while an export stays open, with the defaults."""
FOR_ALL: Final = frozenset({*LIVE, "cert_user"})
"""Options that every export has, whatever its driver."""

SHORT_KEYS: Final = {"model": "security_model"}
"""Keys of ``NAME=TARGET,KEY=VALUE`` that are shorter than their options."""


def layer_types() -> list[tuple[str, LayerType]]:
    """All layers, from the driver outwards."""
    return sorted(((name, LAYERS.get(name)) for name in LAYERS), key=lambda one: one[1].order)


def export_rows() -> list[Row]:
    """The options that exports can have: of every driver, security model and layer. One name is one
    option: of several rows with one name the first counts.
    """
    found: dict[str, Row] = {}
    sets = [rows(ExportOptions), [row for row, _ in model_rows().values()]]
    sets += [rows(DRIVERS.get(name).options) for name in DRIVERS]
    sets += [rows(layer.options) for _, layer in layer_types()]
    for one in sets:
        for row in one:
            found.setdefault(row.name, row)
    return list(found.values())


class ExportConfig:
    """What is served under a name, and how.

    Args:
        target: the path of a folder, or a scheme and what its driver wants (``mem:``).
        name: the aname that clients choose it by; empty for the one that is served when none is
            named.
        options: by their Python names, as values or as people would write them (``fmode=0o640`` or
            ``fmode="640"``).

    Raises:
        BadOption: an option that there is not, that this driver or model does not have, or whose
            value cannot be.
    """

    __slots__ = ("_given", "_values", "driver", "name", "rest", "target")

    def __init__(self, target: str, name: str = "", **options: object) -> None:
        known = export_rows()
        unknown(options, known)
        self.target = target
        self.name = name
        scheme, self.rest = find_driver(target)
        self.driver: DriverType = DRIVERS.get(scheme)
        by_name = {row.name: row for row in known}
        self._given = {key: by_name[key].value(value) for key, value in options.items()}
        self._values = {row.name: row.default for row in known} | self._given
        for key in self._given:
            if not self.has(key):
                raise BadOption(f"{by_name[key].key} {self.why_not(key)}")
        self._check_access()
        for _, layer in layer_types():
            layer.make(self.options(layer.options), self)  # contradictions are found before anything is opened

    def _check_access(self) -> None:
        """Refuse rules that cannot hold."""
        for rule in self.get("allow"):
            if "rw" in rule.rights and self.get("read_only"):
                raise BadOption(f"allow: {rule}: the export is read-only")
        users = [one.name for one in self.get("cert_user")]
        for name in users:
            if users.count(name) > 1:
                raise BadOption(f"cert-user: two users for {name!r}")

    @property
    def model(self) -> str:
        """The name of the security model, ``auto`` while that is open; empty if the driver has
        none.
        """
        name: str = self._values["security_model"]
        return name if self.driver.models else ""

    def get(self, option: str) -> Any:
        """The value of an option, by its Python name. KeyError if there is none."""
        return self._values[option]

    def given(self) -> Mapping[str, Any]:
        """What was asked for, without the defaults."""
        return dict(self._given)

    def replaced(self, **options: object) -> Self:
        """The same with other options."""
        return type(self)(self.target, self.name, **(self._given | options))

    def has(self, option: str) -> bool:
        """Whether an option applies to this driver and model. With ``auto`` the options of all
        models do.
        """
        if option in {row.name for row in rows(self.driver.options)} or option in FOR_ALL:
            return True
        row = model_rows().get(option)
        if row is not None or option == "security_model":
            return self.driver.models and (row is None or self.model == AUTO or self.model in row[1])
        return any(option in {one.name for one in rows(layer.options)} for _, layer in layer_types())

    def why_not(self, option: str) -> str:
        """Why an option does not apply: a clause that follows its name."""
        row = model_rows().get(option)
        if self.driver.models and row is not None:
            return f"does not apply to the security model {self.model}: it is an option of {', '.join(row[1])}"
        return f"does not apply to {self.target} ({self.driver.help})"

    def options(self, options: type[OptionSet]) -> Any:
        """The values of a set of options."""
        return options(**{row.name: self._values[row.name] for row in rows(options)})

    def layers(self) -> list[Layer]:
        """The policies, from the driver outwards: the outermost gets a request first."""
        made = (layer.make(self.options(layer.options), self) for _, layer in layer_types())
        return [layer for layer in made if layer is not None]

    def choice(self) -> Choice:
        """The security model, to be made when the driver knows its filesystem."""
        known = model_rows()
        return Choice(self.model or AUTO, {key: value for key, value in self._given.items() if key in known})

    def rates(self, workers: int = 1) -> Rates:
        """The limits of one process of several. A connection is served by one of them, so that its
        own limits are not divided.
        """
        whole, connection, user = (self._values[option] for option in THROTTLE)
        return Rates(
            tuple(limit.share(workers) for limit in whole), connection, tuple(limit.share(workers) for limit in user)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """For a process that is a fork of this one: the driver is there by its name."""
        return _made_again, (type(self), self.target, self.name, self._given)

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self._given.items())
        return f"ExportConfig({self.target!r}, {self.name!r}{options})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExportConfig):
            return NotImplemented
        return (self.target, self.name, self._values) == (other.target, other.name, other._values)

    def __hash__(self) -> int:
        return hash((self.target, self.name))


def _made_again(kind: type[ExportConfig], target: str, name: str, options: Mapping[str, Any]) -> ExportConfig:
    return kind(target, name, **options)


def build(config: ExportConfig, workers: int = 1) -> Export:
    """Open an export, in one process of several. ``OSError`` with a sentence if it cannot be served; ``BadOption`` if the
    model that was found does not have an option.
    """
    layers = config.layers()
    driver = config.driver.open(config.rest, config.options(config.driver.options), config.choice())
    driver.prepare(writable=not config.get("read_only"))
    return Export(
        config.name,
        driver,
        layers,
        access=Access(config.get("allow"), closed=True),
        trusting=config.get("squash") != "peer",
        throttle=Throttle(config.rates(workers)),
        certified={one.name: (one.uid, one.gid) for one in config.get("cert_user")},
        restrictions=RESTRICTIONS,
    )


def parse_export(text: str) -> tuple[str, str, dict[str, Any]]:
    """``NAME=TARGET[,OPTION...]`` as name, target and options. A comma in a target is written
    twice. ``BadOption``.
    """
    name, equals, rest = text.partition("=")
    if not equals or not name or not rest:
        raise BadOption(f"{text!r}: write NAME=DIR or NAME=DIR,OPTION,...")
    try:
        target, *options = split_commas(rest)
        return name, target, read_words(_whole_keys(options), export_rows())
    except BadOption as error:
        raise BadOption(f"{text!r}: {error}") from error


def _whole_keys(options: Iterable[str]) -> Iterator[str]:
    for part in options:
        key, equals, value = part.partition("=")
        yield f"{SHORT_KEYS[key].replace('_', '-')}={value}" if equals and key in SHORT_KEYS else part


def merged(named: Iterable[tuple[str, str, Mapping[str, Any]]], for_all: Mapping[str, Any]) -> list[ExportConfig]:
    """Exports with options of their own, and options that hold for all that can have them.
    ``BadOption`` for one that none of them can have.
    """
    used: set[str] = set()
    made: list[ExportConfig] = []
    problem: BadOption | None = None
    for name, target, own in named:
        model = {"security_model": for_all["security_model"]} if "security_model" in for_all else {}
        try:
            plain = ExportConfig(
                target, name, **{key: value for key, value in (model | dict(own)).items() if key == "security_model"}
            )
        except BadOption as error:
            if not model or "security_model" in own:
                raise
            problem = error
            plain = ExportConfig(target, name)
        common = {key: value for key, value in for_all.items() if plain.has(key)}
        used |= common.keys()
        made.append(ExportConfig(target, name, **(common | dict(own))))
    for key in for_all.keys() - used:
        if made:
            raise problem or BadOption(f"{key.replace('_', '-')} {made[0].why_not(key)}")
    return made
