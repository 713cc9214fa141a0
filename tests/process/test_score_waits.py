"""`newsquake score` between two lines: it answers what has come, and can be left though nothing more does."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.process.command import PROGRAM

pytestmark = pytest.mark.process

PATIENCE = 60.0  # seconds; far more than is needed


def test_a_line_is_answered_at_once_and_ctrl_c_ends_the_wait_for_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [PROGRAM, "score"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Acme Bank plunges on fraud probe\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["label"] == "negative"
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
            errors = process.stderr.read() if process.stderr else b""
        finally:
            process.kill()
    assert b"Traceback" not in errors
    assert b"Fatal" not in errors
    assert process.returncode > 0
