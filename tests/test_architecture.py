"""The rules of the house that a machine can hold: who imports whom, and what stays lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ADAPTERS = ("sources", "scoring", "bus", "store", "delivery", "api")
GROUND = ("types", "errors", "telemetry")
# What each room may import of `monitor`, beside itself. The first matching prefix decides.
ALLOWED: dict[str, tuple[str, ...]] = {
    "types": (),
    "errors": (),
    "telemetry": ("types", "ports", "reading"),
    "ports": ("types", "errors"),
    "reading": ("types", "ports"),
    "core": ("types", "errors", "ports", "reading"),
    "net": (*GROUND, "ports"),
    "kafka": ("errors",),
    "clock": (*GROUND, "ports"),
    **dict.fromkeys(ADAPTERS, (*GROUND, "ports", "core")),
    **dict.fromkeys(("api", "store"), (*GROUND, "ports", "reading", "core")),
    "sources": (*GROUND, "ports", "core", "net", "kafka"),
    "delivery": (*GROUND, "ports", "core", "net", "kafka", "patience"),
    "pipeline": (*GROUND, "ports", "core", "patience"),
    "canary": (*GROUND, "ports", "core", "pipeline"),
    "patience": (*GROUND, "ports"),
    "promotion": (*GROUND, "ports", "reading", "core", "pipeline", "patience"),
    "judging": (*GROUND, "ports", "core"),
    "series": (*GROUND, "ports", "core"),
    "lifecycle": (*GROUND, "ports"),
    "systemd": (*GROUND, "ports"),
    "calendars": ("core",),
    "config": ("errors", "calendars"),
}
# The composition root: these may import every room.
TOP = (
    *(
        "housekeeping",
        "assembly",
        "topics",
        "handling",
        "panel",
        "report",
        "replay",
        "hindsight",
        "app",
        "cli",
        "commands",
    ),
    *("check", "demo"),
)
TRAINER = ("types", "errors", "ports", "core", "scoring", "replay", "store")
# The trainer's modules that a daemon's configuration is given to; `cli.py` reads it ahead, to refuse it at once.
DESK = ("config", "clock", "assembly", "pipeline")
ASKS_A_DESK = ("cli.py", "life.py", "promote.py", "rehearse.py", "retrain.py", "shown.py")
MAY_IMPORT_TORCH = ("monitor/scoring/model.py", "monitor/scoring/explain.py", "monitor/scoring/network.py", "trainer/")
IMPURE = {"asyncio", "os", "socket", "subprocess", "pathlib", "sqlite3", "random", "time", "threading"}


def modules(folder: str) -> Iterator[Path]:
    yield from sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", [*modules("monitor")], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    own = path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")
    if own in TOP or own == "__init__":
        return
    assert own in ALLOWED, f"{path}: say in ALLOWED what the room {own!r} may import"
    for name in imports(path):
        if name.startswith("monitor."):
            assert room(name) in (own, *ALLOWED[own]), f"{path} may not import {name}"
        assert not name.startswith("trainer"), f"{path}: the daemon never imports the trainer"


@pytest.mark.parametrize(
    "path", [*modules("monitor"), *modules("trainer")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_torch_lives_in_its_own_rooms(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name.startswith(MAY_IMPORT_TORCH):
        return
    heavy = {each for each in imports(path) if each.split(".")[0] in ("torch", "transformers", "peft")}
    assert not heavy, f"{name} imports {heavy}"


@pytest.mark.parametrize("path", [*modules("monitor/core")], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_is_pure(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("utcnow", "today", "now"), f"{path}:{node.lineno}: time is passed in"
        if isinstance(node, ast.Name):
            assert node.id != "open", f"{path}:{node.lineno}: the core reads no files"


def test_the_trainer_uses_only_what_it_may() -> None:
    for path in modules("trainer"):
        for name in imports(path):
            if name.startswith("monitor."):
                assert room(name) in TRAINER or (path.name in ASKS_A_DESK and room(name) in DESK), f"{path}: {name}"


HELP = """
import sys
sys.argv = ["newsquake", "--help"]
import monitor.cli
try:
    monitor.cli.main()
except SystemExit:
    pass
print([name for name in ("torch", "transformers", "sqlalchemy", "fastapi", "numpy") if name in sys.modules])
"""


def test_help_needs_no_heavy_library() -> None:
    out = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.splitlines()[-1] == "[]"
    assert "newsquake" in out
