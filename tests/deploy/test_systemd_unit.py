"""The shipped unit: valid, and as closed as the daemon allows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.alerting import required

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
EXPOSURE = 15  # tenths, at most: systemd calls below 20 "OK"; what is left is the network and the rights below


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [required("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is shipped, but for the place of the program, which must be there to be looked at."""
    text = (UNITS / "newsquake.service").read_text(encoding="utf-8")
    program = Path(sys.executable).with_name("newsquake")
    assert text.count("/opt/newsquake/.venv/bin/newsquake") == 1
    unit = tmp_path / "newsquake.service"
    unit.write_text(text.replace("/opt/newsquake/.venv/bin/newsquake", str(program)), encoding="utf-8")
    return unit


def test_systemd_finds_no_mistake_in_it(unit: Path) -> None:
    found = analyze("verify", "--man=no", unit)
    assert (found.returncode, found.stderr) == (0, "")


def test_with_a_gpu_it_is_as_correct(unit: Path) -> None:
    drop_in = unit.with_name("newsquake.service.d")
    drop_in.mkdir()
    shutil.copy(UNITS / "gpu.conf", drop_in)
    found = analyze("verify", "--man=no", unit)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_mistake_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectSystem=strict", "ProtectSystem=much"), "utf-8")
    assert "protect system" in analyze("verify", "--man=no", unit).stderr


def test_what_is_exposed_stays_little(unit: Path) -> None:
    found = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", unit)
    level = re.search(r"Overall exposure level for newsquake.service: (\S+)", found.stdout)
    assert level is not None, found
    assert found.returncode == 0, f"exposure {level[1]}"
