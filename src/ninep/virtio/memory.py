"""Guest memory: the regions that the front end shares, and the way from an address to its bytes.

* One mapping for each file, of the whole of it, used again for as long as anything refers to it: a
  table that is sent again, or cut up otherwise, moves nothing, and views stay what they were.
* Regions are replaced all at once or not at all.
* A file that could shrink would turn an access into SIGBUS, the end of the process: only files
  sealed with F_SEAL_SHRINK are taken, others when the operator said so (``unsealed``).
* Mappings are never closed by hand: the last view unmaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from ninep.host import shared
from ninep.virtio.chains import Region as Span
from ninep.virtio.errors import RingError
from ninep.virtio.messages import Region

MAX_SLOTS: Final = 509
"""What GET_MAX_MEM_SLOTS is answered: as many as QEMU's own library for back ends has, which are
KVM's 512 less three (subprojects/libvhost-user: VHOST_USER_MAX_RAM_SLOTS)."""

_END: Final = 1 << 64


class BadMemory(Exception):
    """A region or an address that cannot be used; the words say why."""


class Place(NamedTuple):
    """Where bytes are, whichever mapping shows them: the file (device, inode) and the offset."""

    file: tuple[int, int]
    offset: int


class _Mapping:
    """A file, mapped whole."""

    __slots__ = ("__weakref__", "file", "view")

    def __init__(self, file: tuple[int, int], view: memoryview) -> None:
        self.file = file
        self.view = view


class _Mapped(NamedTuple):
    """A region and its bytes."""

    region: Region
    mapping: _Mapping
    view: memoryview


class GuestMemory:
    """The regions of one front end. It is a ``ring.Memory``."""

    __slots__ = ("_guest", "_mappings", "_unsealed", "mapped")

    def __init__(self, *, unsealed: bool = False) -> None:
        self._unsealed = unsealed
        self._guest: list[_Mapped] = []
        self.mapped: tuple[Span, ...] = ()
        """The regions by guest address, the largest first; never changed, but replaced."""
        self._mappings: WeakValueDictionary[tuple[int, int], _Mapping] = WeakValueDictionary()

    @property
    def regions(self) -> list[Region]:
        """By guest address."""
        return [mapped.region for mapped in self._guest]

    # -- addresses -----------------------------------------------------------------------------------------------------

    def view(self, address: int, length: int) -> memoryview:
        """The bytes at a guest address. ``RingError`` unless they lie in one region."""
        for first, after, view in self.mapped:
            if first <= address and address + length <= after:
                return view[address - first : address - first + length]
        raise RingError(f"{length} bytes at guest address {address:#x}: no region of memory has them")

    def user_view(self, address: int, length: int) -> tuple[memoryview, Place]:
        """The bytes at a user address of the front end, and where they are. ``BadMemory`` unless
        they lie in one region.
        """
        for region, mapping, view in self._guest:
            start = address - region.user
            if start >= 0 and start + length <= region.size:
                return view[start : start + length], Place(mapping.file, region.offset + start)
        raise BadMemory(f"{length} bytes at user address {address:#x}: no region of memory has them")

    # -- the table -----------------------------------------------------------------------------------------------------

    def replace(self, regions: Sequence[Region], descriptors: Sequence[int]) -> None:
        """Take a new table, a descriptor for each region. They remain the caller's. ``BadMemory``:
        the old one remains.
        """
        self._commit([self._map(*one) for one in zip(regions, descriptors, strict=True)])

    def add(self, region: Region, descriptor: int) -> None:
        """Add a region. ``BadMemory``."""
        if len(self._guest) >= MAX_SLOTS:
            raise BadMemory(f"more than {MAX_SLOTS} regions")
        self._commit([*self._guest, self._map(region, descriptor)])

    def remove(self, region: Region) -> None:
        """Remove the region of the same addresses and size; its offset does not matter.
        ``BadMemory`` if there is none.
        """
        rest = [mapped for mapped in self._guest if mapped.region[:3] != region[:3]]
        if len(rest) == len(self._guest):
            raise BadMemory(f"no region of {region.size} bytes at {region.guest:#x} to remove")
        self._commit(rest)

    def clear(self) -> None:
        """Forget all regions."""
        self._commit([])

    def _commit(self, mapped: list[_Mapped]) -> None:
        mapped.sort(key=lambda one: one.region.guest)
        _refuse_overlaps([one.region for one in mapped])
        self._guest = mapped
        by_size = sorted(mapped, key=lambda one: -one.region.size)
        self.mapped = tuple((one.region.guest, one.region.guest + one.region.size, one.view) for one in by_size)

    def _map(self, region: Region, descriptor: int) -> _Mapped:
        if not region.size or max(region.guest, region.user, region.offset) + region.size > _END:
            raise BadMemory(f"a region of {region.size} bytes at {region.guest:#x}")
        mapping = self._mapping(descriptor, region.offset + region.size)
        return _Mapped(region, mapping, mapping.view[region.offset : region.offset + region.size])

    def _mapping(self, descriptor: int, least: int) -> _Mapping:
        if not self._unsealed and not shared.cannot_shrink(descriptor):
            raise BadMemory(
                "the memory's file could shrink, which would kill this process: give QEMU "
                "'-object memory-backend-memfd,share=on' (sealed by default), or say unsealed-memory=yes "
                "if all who may write the file are trusted"
            )
        try:
            file, size = shared.file_size(descriptor)
            if least > size:
                raise BadMemory(f"a region ends at {least} in a file of {size} bytes")
            mapping = self._mappings.get(file)
            if mapping is None or len(mapping.view) < least:
                mapping = self._mappings[file] = _Mapping(file, shared.map_shared(descriptor, size))
        except (OSError, ValueError, OverflowError) as error:
            raise BadMemory(f"memory cannot be mapped: {error}") from None
        return mapping


def _refuse_overlaps(regions: list[Region]) -> None:
    for spans in ([(one.guest, one.size) for one in regions], [(one.user, one.size) for one in regions]):
        for (start, size), (after, _) in pairwise(sorted(spans)):
            if start + size > after:
                raise BadMemory(f"regions overlap at {after:#x}")
