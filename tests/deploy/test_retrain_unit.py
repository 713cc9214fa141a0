"""The shipped timer: valid, and its service as closed as the daemon's."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.deploy.test_systemd_unit import EXPOSURE, UNITS, analyze


def placed(folder: Path) -> tuple[Path, Path]:
    """The units as they are shipped, but for the place of the program, which must be there to be looked at."""
    text = (UNITS / "newsquake-retrain.service").read_text(encoding="utf-8")
    program = Path(sys.executable).with_name("newsquake")
    service, timer = folder / "newsquake-retrain.service", folder / "newsquake-retrain.timer"
    service.write_text(text.replace("/opt/newsquake/.venv/bin/newsquake", str(program)), encoding="utf-8")
    timer.write_bytes((UNITS / "newsquake-retrain.timer").read_bytes())
    return service, timer


def test_systemd_finds_no_mistake_in_timer_and_service(tmp_path: Path) -> None:
    found = analyze("verify", "--man=no", *placed(tmp_path))
    assert (found.returncode, found.stderr) == (0, "")


def test_a_retraining_is_as_closed_as_the_daemon(tmp_path: Path) -> None:
    service, _ = placed(tmp_path)
    found = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", service)
    assert found.returncode == 0, found.stdout[-300:]


def test_it_works_on_the_daemon_s_own_database_and_model() -> None:
    def settings(name: str) -> set[str]:
        lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
        return {
            line for line in lines if line.startswith(("Environment=", "StateDirectory", "CacheDirectory", "Working"))
        }

    assert settings("newsquake-retrain.service") == settings("newsquake.service")
