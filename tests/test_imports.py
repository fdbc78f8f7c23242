"""Who may import whom: section 8 of the design, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "reflex_core").rglob("*.py"))
SERVERS = {"mitmproxy", "addons"}

PURE = [
    "types",
    "errors",
    "sse",
    "ndjson",
    "fold",
    "render",
    "exchange",
    "inbound",
    "inbound_parts",
    "key",
    "units",
    "controls",
    "policy",
    "codec_store",
    "memory",
    "partial",
    "breaker",
]
"""Neither clock, disk nor network of their own."""

IMPURE = {"aiohttp", "sqlite3", "socket", "asyncio", "random", "uuid", "secrets", "time"}

BACKENDS_ALONE = {"sqlite3", "usearch", "onnxruntime", "redis", "aiohttp", "httpx"}

LOWER = {
    "types": {"errors"},
    "errors": set[str](),
    "sse": set[str](),
    "fold": {"errors", "types"},
    "render": {"errors", "types", "sse"},
    "ports": {"types", "semantic_types", "errors"},
}
"""What these may import of the core, and nothing else."""


def name_of(path: Path) -> str:
    """`reflex_core.codecs.base` for its file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, in functions too, but not for type checkers."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for inner in block.body
        for node in ast.walk(inner)
    }
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def core_imports(path: Path) -> set[str]:
    """First names below `reflex_core`."""
    found = (name.split(".") for name in imports(path))
    return {parts[1] for parts in found if parts[0] == "reflex_core" and len(parts) > 1}


def test_there_is_something_to_see() -> None:
    assert len(CORE) > 50
    assert "reflex_core.types" in set(imports(ROOT / "reflex_core" / "codecs" / "base.py"))
    assert "mitmproxy.http" in set(imports(ROOT / "addons" / "intake.py"))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_knows_no_server(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & SERVERS


@pytest.mark.parametrize("name", PURE)
def test_pure_parts(name: str) -> None:
    roots = {found.split(".")[0] for found in imports(ROOT / "reflex_core" / f"{name}.py")}
    assert not roots & IMPURE


@pytest.mark.parametrize("name", LOWER)
def test_the_lowest_parts(name: str) -> None:
    assert core_imports(ROOT / "reflex_core" / f"{name}.py") <= LOWER[name]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "reflex_core" / "codecs").glob("*.py")), ids=name_of
)
def test_codecs_are_sans_io(path: Path) -> None:
    roots = {found.split(".")[0] for found in imports(path)}
    assert not roots & (IMPURE | BACKENDS_ALONE)
    upwards = {"app", "fetch", "attempt", "flight", "reply", "lookup", "storage", "config", "route"}
    assert not core_imports(path) & (upwards | {"backends"})


def test_backends_alone_know_the_libraries() -> None:
    for path in CORE:
        if "backends" not in path.parts and "cli" not in path.parts:
            found = {name.split(".")[0] for name in imports(path)}
            assert not found & BACKENDS_ALONE, path


def test_backends_do_not_look_up() -> None:
    upwards = {"app", "fetch", "attempt", "flight", "reply", "lookup", "storage", "route"}
    for path in (ROOT / "reflex_core" / "backends").glob("*.py"):
        assert not core_imports(path) & upwards, path


def test_only_the_app_knows_all() -> None:
    """Nothing below imports the composition root, but what is put on top of it."""
    on_top = {"admin", "cli", "replay", "dashboard", "events", "sight", "why", "otel"}
    for path in CORE:
        part = path.relative_to(ROOT / "reflex_core").parts[0].removesuffix(".py")
        if part not in {"app", *on_top}:
            assert "app" not in core_imports(path), path
