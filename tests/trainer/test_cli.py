from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from monitor.cli import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "path:nowhere", "rows.jsonl", "--head", "sentiment=label"], "nowhere is no folder"),
        (["fit", "rows.jsonl", "--head", "sentiment=label", "--base", "bert", "--out", "o"], "expected builtin"),
        (["fit", "none.jsonl", "--head", "sentiment=label", "--out", "o"], "none.jsonl: no such file"),
        (["fit", "rows.jsonl", "--head", "sentiment", "--out", "o"], "--head sentiment: expected NAME=COLUMN"),
    ],
)
def test_a_mistake_in_the_call_is_told_before_torch_is_imported(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "Acme falls", "label": "negative"}\n', encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, "trainer", *arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert ended.stdout.splitlines()[-1] == "False"
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
