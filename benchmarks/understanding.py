"""Documents a second beside a plain transformers pipeline, in one run, as JSON: `python benchmarks/understanding.py`.
The same as `newsquake bench`; ends with 1 where the ratio is below 4."""

from __future__ import annotations

import json
import sys

from monitor.scoring.bench import bench

if __name__ == "__main__":
    figures = bench()
    print(json.dumps(figures, indent=1))
    ratio = figures["ratio"]
    sys.exit(0 if isinstance(ratio, float) and ratio >= 4.0 else 1)
