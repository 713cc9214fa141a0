"""Set newsquake up in `.venv`: the packages of `requirements.lock`, by hash, and the checkout itself, editable.

Runs on a bare Python 3.11 or newer with nothing installed. A torch that is already there (in `.venv`, or in the Python
this runs with) is kept, so that a machine may bring a build for the CPU: the locked wheels for Linux carry CUDA and
take 6 GB. With `--lean` the tools for developing newsquake (tests, types, style, a browser's driver) are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST_TORCH = (2, 11)
TORCH_FAMILY = ("torch==", "triton==", "nvidia-", "cuda-")  # torch's own wheels, which it brings along on Linux


def main() -> None:
    if sys.version_info < (3, 11):
        raise SystemExit(f"newsquake needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")
    keep = torch_version(Path(sys.executable)) is not None
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True, system_site_packages=keep)
    here = torch_version(PYTHON)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    if here is not None and f"torch=={here} " not in lock:
        print(f"keeping torch {here}, which is already installed", flush=True)
        lock = without(TORCH_FAMILY, lock)
    if "--lean" in sys.argv[1:]:
        lock = without(tools(), lock)
    wanted = VENV / "requirements.lock"
    wanted.write_text(lock, encoding="utf-8")
    pip("install", "--no-deps", "--require-hashes", "--requirement", str(wanted))
    pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def torch_version(python: Path) -> str | None:
    """Return the version of the torch that `python` sees, or None if there is none or it is too old to serve."""
    if python == Path(sys.executable):
        try:
            version = metadata.version("torch")
        except metadata.PackageNotFoundError:
            return None
    else:
        ask = "from importlib import metadata; print(metadata.version('torch'))"
        answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        version = answer.stdout.strip()
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    return version if numbers >= OLDEST_TORCH else None


def tools() -> tuple[str, ...]:
    """Return how the lock's entries of the development tools begin, less those that install newsquake itself."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    names = {re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in groups["dev"]}
    return tuple(f"{name}==" for name in sorted(names - {"editables", "hatchling"}))


def without(dropped: tuple[str, ...], lock: str) -> str:
    """Return the lock file less the entries that begin so; an entry is a line and its indented hashes."""
    kept: list[str] = []
    dropping = False
    for line in lock.splitlines(keepends=True):
        if not line.startswith(" "):
            dropping = line.startswith(dropped)
        if not dropping:
            kept.append(line)
    return "".join(kept)


def pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(f"set-up stopped: `{' '.join(command[1:])}` failed; the lines above say why")


if __name__ == "__main__":
    main()
