"""Walls that no import contract sees: who asks which system this is, and who catches everything."""

import ast
import re
from collections.abc import Container, Iterator, Sequence
from functools import cache
from pathlib import Path

import ninep

HOME = Path(ninep.__file__).parent
QUESTIONS = {("sys", "platform"), ("os", "name"), ("os", "uname"), ("sys", "getwindowsversion")}


@cache
def modules() -> Sequence[tuple[str, ast.Module]]:
    return [
        (path.relative_to(HOME).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(HOME.rglob("*.py"))
    ]


def asks_for_the_system(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return (node.value.id, node.attr) in QUESTIONS
    if isinstance(node, ast.Import):
        return any(alias.name == "platform" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "platform" or any((node.module, alias.name) in QUESTIONS for alias in node.names)
    return False


def test_only_the_host_asks_which_system_it_runs_on() -> None:
    asking = {name for name, tree in modules() if any(map(asks_for_the_system, ast.walk(tree)))}
    assert {name for name in asking if not name.startswith("host/")} == set()
    assert "host/__init__.py" in asking  # the question is recognised


def swallows(node: ast.AST) -> bool:
    """A handler for everything that does not pass it on."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
    return broad and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))


def test_below_the_server_nothing_is_swallowed() -> None:
    """A bug must not look like a refusal: the server's one exit turns the unexpected into EIO, and
    logs it.
    """
    below = ("wire/", "protocol/", "drivers/", "layers/", "security/", "host/", "virtio/", "transport/")
    swallowing = {name for name, tree in modules() if any(map(swallows, ast.walk(tree)))}
    assert {name for name in swallowing if name.startswith(below)} == set()
    assert "server/connection.py" in swallowing  # the exit is recognised


def test_structures_of_c_are_of_the_wire_of_rings_and_of_the_host() -> None:
    """Bytes are laid out where messages, rings and system calls are declared, and nowhere else."""
    floors = {"struct": ("wire/", "virtio/", "host/"), "ctypes": ("host/",)}
    using = {
        (name, library)
        for name, tree in modules()
        for node in ast.walk(tree)
        for library in floors
        if (isinstance(node, ast.ImportFrom) and node.module == library)
        or (isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == library for alias in node.names))
    }
    outside = {(name, library) for name, library in using if not name.startswith((*floors[library], "testing/"))}
    assert outside == set()
    assert {("wire/layouts.py", "struct"), ("host/_libc.py", "ctypes")} <= using  # they are recognised


def imports() -> dict[str, set[str]]:
    """The modules of the project that each module imports anywhere, also for type
    checkers alone.
    """
    names = {}
    for path, tree in modules():
        parts = ("ninep", *path.removesuffix(".py").split("/"))
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = tree
    return {
        name: {one for node in ast.walk(tree) for one in imported(node, names) if one != name}
        for name, tree in names.items()
    }


def imported(node: ast.AST, names: Container[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            if inner in names:
                yield inner
            elif node.module in names:
                yield node.module


def cycles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    found: set[frozenset[str]] = set()
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.add(frozenset(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not for type checkers either: what needs each other's names is one module, or has a base
    below both.
    """
    assert cycles({"a": {"b"}, "b": {"a"}, "c": {"a"}}) == {frozenset({"a", "b"})}
    assert cycles(imports()) == set()


def test_fields_of_nodes_are_written_where_their_class_is() -> None:
    """``x.field = ...`` of a node of the local driver stands in the module whose class declares the
    field.
    """
    local = HOME / "drivers" / "local"
    owners = {"handle_cache": "CacheEntry", "node_table": "TableEntry"}
    trees = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in local.glob("*.py")}
    fields = {
        field.value: module
        for module, name in owners.items()
        for cls in trees[module].body
        if isinstance(cls, ast.ClassDef) and cls.name == name
        for field in ast.walk(cls.body[1])
        if isinstance(field, ast.Constant)
    }
    assert {"path_handle", "refs", "parent_node"} <= fields.keys()
    outside = {
        (module, node.attr)
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
        if fields.get(node.attr, module) != module
    }
    assert outside == {("node", "used")}  # of another node of the same class


OF_THE_SYSTEM = {
    ("cli/output.py", "stderr stdin stdout"),
    ("cli/remote.py", "filename"),  # of an OSError
    ("cli/copying.py", "strerror"),
    ("app/logging.py", "propagate"),
    ("app/service.py", "stderr stdout"),
    ("cli/waiting.py", "daemon"),
    ("client/aio/names.py", "filename"),
    ("client/blocking/names.py", "filename"),
    ("client/destination.py", "filename filename2 strerror"),
    ("client/errors.py", "filename filename2"),
    ("client/aio/sources.py", "filename"),
    ("client/blocking/sources.py", "filename"),
    ("host/_credentials.py", "argtypes restype"),  # of ctypes
    ("host/_darwin.py", "restype"),
    ("host/_libc.py", "argtypes restype"),
    ("host/windows/calls.py", "argtypes restype"),
    ("host/windows/win32.py", "argtypes errcheck restype"),
    ("logs.py", "args message msg"),  # of a LogRecord
    ("transport/tls_psk.py", "check_hostname minimum_version num_tickets options"),
    ("transport/tls.py", "minimum_version num_tickets sslsocket_class verify_flags verify_mode"),  # of an SSLContext
    ("would_block.py", "loops"),  # of threading.local
}
"""Fields of objects of Python's library that are there to be written."""


def test_fields_are_written_where_their_class_is() -> None:
    """``x.field = ...`` of an object of the project stands in the module of a class that has the
    field: who is to change it has a method for it.
    """
    listed = {(name, field) for name, fields in OF_THE_SYSTEM for field in fields.split()}
    assert {
        found for name, tree in modules() if not name.startswith("testing/") for found in foreign(name, tree)
    } == listed


def foreign(name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The public fields of others that a module assigns, and that none of its classes declares."""
    declared = {field for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for field in fields(cls)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load) or own(node):
            continue
        if not node.attr.startswith("_") and node.attr not in declared:
            yield name, node.attr


def own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def fields(cls: ast.ClassDef) -> Iterator[str]:
    """Of slots, annotations, and assignments to ``self``."""
    for node in ast.walk(cls):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and own(node):
            yield node.attr
        elif isinstance(node, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == "__slots__" for to in node.targets
        ):
            yield from (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))


LONGEST_FILE = 500
LONG = {"wire/messages.py": 650}  # the protocol's manual as a table
LONGEST_FUNCTION = 60


def test_files_are_rooms_and_functions_are_short() -> None:
    """Lines of a file, and of a function with its docstring."""
    sizes = {name: len((HOME / name).read_text(encoding="utf-8").splitlines()) for name, _ in modules()}
    assert {name: size for name, size in sizes.items() if size > LONG.get(name, LONGEST_FILE)} == {}
    functions = {
        (name, node.name): node.end_lineno - node.lineno + 1
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert functions["drivers/local/node.py", "_attributes"] > 40  # they are counted
    assert {key for key, size in functions.items() if size > LONGEST_FUNCTION} == set()


REBOUND: set[tuple[str, str]] = set()


def test_no_field_is_rebound_to_a_method_at_run_time() -> None:
    """``self.write = self._short``: which of two ways is taken is a field that says so, or an object
    of its own.
    """
    assert {found for name, tree in modules() for found in rebound(name, tree)} == REBOUND


def rebound(name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Methods of a class that its own code assigns over."""
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef):
            continue
        verbs = {one.name for one in cls.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        for node in ast.walk(cls):
            if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in verbs):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield name, f"{cls.name}.{node.attr}"


# -- tests mirror the source ------------------------------------------------------------------------------------------

TESTS = Path(__file__).parent
TESTED_BY = {
    "app/test_control.py": "app/control_client app/control_commands app/control_path app/control_pipe cli/ctl",
    "app/test_reload.py": "app/reload_workers server/retiring",
    "app/test_upgrade.py": "transport/handed_on",
    "cli/test_config.py": "app/config_schema app/settings",
    "cli/test_copy.py": "cli/copying cli/progress",
    "cli/test_main.py": "cli/groups cli/params",
    "cli/test_odd_servers.py": "cli/waiting",
    "cli/test_probe.py": "app/probing",
    "cli/test_serve.py": "app/announce app/build app/logging app/process app/run_workers cli/rows server/protocols",
    "cli/test_status.py": "cli/servers cli/status_table fuse/usage server/connection_state server/status",
    "cli/test_sync.py": "cli/trees",
    "cli/test_tls.py": "app/authority",
    "cli/test_trace.py": "server/pcap",
    "client/test_asyncio.py": "client/aio/__init__ client/aio/connection",
    "client/test_client.py": "client/aio/base client/aio/dotl client/aio/export client/aio/opener client/aio/session client/aio/verbs",
    "client/test_copying.py": "client/aio/getting client/aio/putting client/aio/sources",
    "drivers/local/test_directory.py": "drivers/local/per_call_handles",
    "drivers/local/test_driver.py": "drivers/__init__ drivers/local/devices drivers/local/options",
    "drivers/local/test_idle_files.py": "drivers/local/reopening",
    "drivers/objects/test_node.py": "drivers/objects/base_node drivers/objects/bucket"
    " drivers/objects/making drivers/objects/moves drivers/objects/opened"
    " drivers/objects/blocking drivers/objects/tree",
    "drivers/objects/test_s3.py": "drivers/objects/ahead drivers/objects/content",
    "drivers/test_memory.py": "drivers/memory/inode drivers/memory/node drivers/memory/opened drivers/memory/options",
    "faults/test_end.py": "app/cut_short host/terminal server/signals",
    "fuse/test_connection.py": "fuse/handlers/beginning",
    "fuse/test_kernel.py": "fuse/serving transport/dev_fuse transport/fuse",
    "host/test_linux.py": "host/_api host/_libc host/_ofd_locks host/_posix",
    "host/windows/test_driver.py": "host/windows/contents host/windows/host host/windows/info host/windows/removed"
    " host/windows/tags testing/fake_nt testing/fake_nt_info testing/fake_nt_open testing/fake_nt_volume",
    "host/windows/test_pipes.py": "host/windows/win32",
    "host/windows/test_status.py": "host/windows/error",
    "layers/test_run_as.py": "host/_credentials",
    "security/test_passthrough.py": "security/none",
    "server/test_connection_end.py": "server/context ",
    "server/test_listing.py": "server/entries",
    "test_docs_types.py": "__init__",
    "test_metrics.py": "server/instrumented",
    "transport/test_addresses.py": "transport/tcp transport/unix",
    "transport/test_inherited.py": "transport/stdio",
    "transport/test_listeners.py": "transport/connecting transport/writer",
    "transport/test_vhost_user.py": "transport/front_end",
    "virtio/test_device.py": "virtio/rings",
    "wine/test_contract.py": "host/windows/calls",
    "wine/test_service.py": "host/windows/event_log host/windows/service_process host/windows/services",
    "app/test_hints.py": "transport/tcp_hints",
}
"""Modules without a file of tests of their own, and the tests that they have nevertheless. A new module
gets its own; a row that goes is welcome.
"""
NO_TESTS = ("client/blocking/", "testing/suite/")
"""Generated from what is tested; tests themselves."""
LONGEST_TESTS = 500
LONG_TESTS = {
    "virtio/test_chains.py": 520,
    "app/test_reload.py": 570,
    "client/test_destination.py": 540,
    "security/test_mapped_owner.py": 550,
}


def acts(tree: ast.Module) -> bool:
    """Something in it does more than to be declared."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(not isinstance(line, ast.Raise | ast.Pass | ast.Expr) for one in functions for line in one.body)


def has_tests(name: str) -> bool:
    """Of ``a/_b.py``: ``a/test_b.py``, or by subject ``a/test_b_SUBJECT.py``; of a package, in it or beside it."""
    *folder, module = name.removesuffix(".py").split("/")
    folders = [folder[:-1] if folder[-1:] == ["aio"] else folder]
    if module == "__init__":
        module, folders = folder[-1] if folder else "ninep", [folder, folder[:-1]]
    found = [path for one in folders for path in TESTS.joinpath(*one).glob(f"test_{module.lstrip('_')}*.py")]
    return any(re.fullmatch(f"test_{module.lstrip('_')}(_.*)?", path.stem) for path in found)


def test_a_module_has_tests_of_its_own_name() -> None:
    acting = {name for name, tree in modules() if acts(tree) and not name.startswith(NO_TESTS)}
    assert "server/locks.py" in acting
    listed = {f"{module}.py" for modules in TESTED_BY.values() for module in modules.split()}
    assert {name for name in acting if not has_tests(name)} == listed
    assert [name for name in TESTED_BY if not (TESTS / name).is_file()] == []


def test_files_of_tests_are_short_too() -> None:
    sizes = {
        path.relative_to(TESTS).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in TESTS.rglob("test_*.py")
    }
    assert {name: size for name, size in sizes.items() if size > LONG_TESTS.get(name, LONGEST_TESTS)} == {}
    assert [name for name in LONG_TESTS if sizes[name] <= LONGEST_TESTS] == []
