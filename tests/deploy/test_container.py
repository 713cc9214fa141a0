"""The container's recipe, and what goes into it."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "deploy" / "container" / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STEPS = [line.strip() for line in RECIPE.splitlines() if line.strip() and not line.startswith("#")]
EXTRAS = {"builtin", "kafka", "postgresql", "trainer"}


@pytest.fixture(scope="module")
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_setup", ROOT / "deploy" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def step(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in STEPS if line.startswith(f"{word} ")]


def test_it_runs_as_nobody_in_particular() -> None:
    assert step("USER") == ["10001:10001"]
    assert STEPS.index("USER 10001:10001") < next(n for n, line in enumerate(STEPS) if line.startswith("ENTRYPOINT"))
    assert not [line for line in STEPS[STEPS.index("USER 10001:10001") :] if line.startswith("RUN")]


def test_it_is_healthy_when_it_is_ready_and_stops_by_sigterm() -> None:
    assert "/readyz" in step("HEALTHCHECK")[0]
    assert step("STOPSIGNAL") == ["SIGTERM"]
    assert step("ENTRYPOINT") == ['["newsquake"]']  # no shell between the signal and the daemon


def test_images_are_named_without_a_host() -> None:
    assert step("FROM") == ["python:${PYTHON}-slim AS build", "python:${PYTHON}-slim"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for line in step("COPY"):
        if not line.startswith("--from"):
            copied |= set(line.split()[:-1])
    assert all((ROOT / each).exists() for each in copied)
    assert copied == kept
    assert "*" in lines, "secrets and databases stay out"


def test_the_lean_set_has_all_that_newsquake_needs_and_no_tools(setup: ModuleType) -> None:
    whole = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lean = setup.without(setup.tools(), whole)
    assert entries(whole) - entries(lean) == {tool.removesuffix("==") for tool in setup.tools()}
    assert {"pytest", "mypy", "ruff", "playwright"} <= entries(whole) - entries(lean)
    assert {"hatchling", "editables"} <= entries(lean), "they install newsquake itself"
    assert needed("newsquake", EXTRAS) - {"newsquake"} <= entries(lean)


def test_a_torch_that_is_there_is_kept(setup: ModuleType) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    left = entries(setup.without(setup.TORCH_FAMILY, lock))
    assert "torch" not in left
    assert {"transformers", "numpy", "sympy"} <= left
    assert re.search(r"^torch==[0-9.]+ ", lock, flags=re.MULTILINE), "the recipe reads the version so"


def entries(lock: str) -> set[str]:
    return {canonicalize_name(line.split("==")[0]) for line in lock.splitlines() if re.match(r"[\w.-]+==", line)}


def needed(name: str, extras: set[str], known: set[str] | None = None) -> set[str]:
    """Return what a package pulls in on this machine, by what its installed metadata says; torch's own family apart."""
    known = set() if known is None else known
    if (canonical := canonicalize_name(name)) in known or canonical == "torch":
        return known
    known.add(canonical)
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            needed(requirement.name, set(requirement.extras), known)
    return known
