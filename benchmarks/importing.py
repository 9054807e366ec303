"""What does the import of a file take over what its process had at the start, and how long does the page stand still
when such a file is brought to it?

make bench measures a small file; `importing.py --mb 1000` one of a gigabyte. Adds megabytes and seconds, with date and
machine, to RESULTS.md.
"""

import argparse
import tempfile
import time
from pathlib import Path

from data import alone, make_file
from measuring import record, spread, used_by_others


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--mb", type=float, default=20, help="size of the file in megabytes")
    ask.add_argument("--times", type=int, default=3, help="how often stalls and first rows are measured")
    given = ask.parse_args()
    others = used_by_others()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rows = make_file(path, given.mb)
        began = time.monotonic()
        megabytes = alone("over_start", path)
        took = time.monotonic() - began
        stalls = [alone("stall", path) for _ in range(given.times)]
        first = [alone("preview", path) for _ in range(given.times)]
    figures = {
        "MB": f"{given.mb:,.0f}",
        "rows": f"{rows:,}",
        "import, s": f"{took:.0f}",
        "memory over the start, MB": f"{megabytes:,.0f}",
        "longest stall of the page, s": spread(stalls),
        "first rows, s": spread(first),
    }
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    record("importing", figures, others)


if __name__ == "__main__":
    main()
