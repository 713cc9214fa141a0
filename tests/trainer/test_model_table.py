from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.trainer.conftest import recipe
from trainer.config import written

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "model_table.py"
ROWS = """
recipe = "{recipe}"
[[row]]
name = "floor"
floor = true
[[row]]
name = "whole"
against = "floor"
[[row]]
name = "one epoch"
against = "whole"
set = {{ fit = {{ epochs = 1 }} }}
"""


def asked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(folder), "--out", str(folder / "done.json")]
    command += ["--table", str(folder / "rows.toml"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=500)


def test_a_row_of_the_table_is_fitted_once_and_stands_beside_the_one_it_changes(
    rows_file: Path, base: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(written(recipe(rows_file, base, epochs=4)), encoding="utf-8")
    (tmp_path / "rows.toml").write_text(ROWS.format(recipe=tmp_path / "mine.toml"), encoding="utf-8")
    unseen = tmp_path / "financial_phrasebank"
    unseen.mkdir()
    lines = [{"text": f"borealis {verb} {n}", "label": label, "agree": 100} for n in range(9) for verb, label in VERBS]
    (unseen / "phrasebank.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    alone = asked(tmp_path, "--seeds", "1,2", "--rows", "200", "--only", "floor")
    assert alone.returncode == 0, alone.stderr
    assert "| whole |" not in alone.stdout
    ended = asked(tmp_path, "--seeds", "1,2", "--rows", "200")
    assert ended.returncode == 0, ended.stderr
    assert [line for line in ended.stderr.splitlines() if ", seed " in line] == [
        *("whole, seed 1", "whole, seed 2", "one epoch, seed 1", "one epoch, seed 2")
    ]
    title, _, header, _, *table = ended.stdout.splitlines()
    assert title == "**A proxy: at most 200 training rows of each file.**"
    assert header.startswith("| set | change | seeds | accuracy | macro F1 | against | gain |")
    cells = {(row[1], row[2]): row for row in ([cell.strip() for cell in line.split("|")] for line in table)}
    assert {name for name, _ in cells} == {
        *(f"{rows_file}: {head}" for head in ("sentiment", "topic")),
        "PhraseBank (unseen): sentiment",
        "PhraseBank, all annotators agree (unseen): sentiment",
    }
    worse = cells[f"{rows_file}: sentiment", "one epoch"]
    assert worse[3] == "2"
    assert worse[6] == "whole"
    assert worse[7].startswith("-0.")
    again = asked(tmp_path, "--seeds", "1,2", "--rows", "200")
    assert "seed" not in again.stderr
    assert again.stdout == ended.stdout
    assert "expected one of floor, whole, one epoch" in asked(tmp_path, "--only", "ceiling").stderr


VERBS = (("falls", "negative"), ("was", "neutral"), ("jumps", "positive"))
