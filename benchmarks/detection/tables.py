"""Every table of invented news, one after the other: calm, planted, levels, formula.

    python benchmarks/detection/tables.py [--keys 2000] [--days 90] [--jobs 2]

Each of these programs also runs by itself, and says there what its table means. The smaller default ends in minutes.
"""

from __future__ import annotations

import calm
import formula
import levels
import planted


def main() -> None:
    for program in (calm, planted, levels, formula):
        program.main()
        print()


if __name__ == "__main__":
    main()
