"""Make cases by name, or all: python -m support.cases OUTDIR [NAME…]."""

import sys
from pathlib import Path

from support.cases import CASES


def main(folder: Path, names: list[str]) -> None:
    unknown = set(names) - CASES.keys()
    if unknown:
        sys.exit(f"No such case: {', '.join(sorted(unknown))}. There are: {', '.join(CASES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CASES:
        made = CASES[name].make(folder)
        print(f"{made}  {made.stat().st_size:,} bytes  {CASES[name].about}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
