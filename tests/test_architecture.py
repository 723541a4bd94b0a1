"""Imports within the package go down from floor to floor, never up and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import asgi_middleware

ROOT = Path(asgi_middleware.__file__).parent
PACKAGE = "asgi_middleware"

# Every part may import private modules and these.
GROUND_FLOOR = {"types", "errors", "readiness"}
# Other imports from part to part that are allowed.
ABOVE = {
    "outgoing": {"request_id", "trace_context"},
    "django": {"composition", "cors", "lifespan", "stack", "thread_pool", "timing"},
    "testing": {"django", "lifespan"},
}
# The top floor puts everything together, and may import everything.
TOP = {"__init__", "composition", "stack"}


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join((PACKAGE, *parts)).removesuffix(".__init__")
        found[name] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """Yield the modules of the package that *name* imports, even those for type checkers only."""
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            found = target if target in MODULES else target.rpartition(".")[0]
            if found in MODULES and found != name:
                yield found


def part_of(name: str) -> str:
    """Return the layer, or the file on the ground floor, that a module belongs to."""
    return name.removeprefix(PACKAGE).lstrip(".").partition(".")[0] or "__init__"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imported(name)) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_part_and_from_below(name: str) -> None:
    own = part_of(name)
    if own in TOP:
        return
    allowed = {own, *GROUND_FLOOR, *ABOVE.get(own, ())}
    if own in GROUND_FLOOR:
        allowed = {own}

    foreign = {part for each in imported(name) if (part := part_of(each)) not in allowed}

    assert {part for part in foreign if not part.startswith("_")} == set()


@pytest.mark.parametrize(
    "name", [name for name in MODULES if part_of(name).startswith("_") and part_of(name) not in TOP]
)
def test_the_ground_floor_imports_no_layer(name: str) -> None:
    parts = {part_of(each) for each in imported(name)}

    assert {part for part in parts if not part.startswith("_")} <= GROUND_FLOOR
