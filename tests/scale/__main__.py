"""`python -m scale`: play the very large ring, print tables; with --write, renew docs/explanation/scale.md."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

from . import page

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "scale.md"
#: Everything above this line of the page is written by hand and kept.
_MARK = "<!-- Below: written by ./run scale --write -->"


def main() -> int:
    """Play it."""
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    default = page.Size()
    for name, value in default._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"(default: {value:,})")
    parser.add_argument("--write", action="store_true", help="renew docs/explanation/scale.md")
    options = parser.parse_args()
    size = page.Size(*(getattr(options, name) for name in default._fields))
    text = page.text(_timed(size))
    print(text)
    if options.write:
        kept = _PAGE.read_text().partition(_MARK)[0] if _PAGE.exists() else "# Internet scale\n\n"
        made = f"Made by `{' '.join(['./run scale', *sys.argv[1:]])}` with {platform.python_implementation()}"
        _PAGE.write_text(f"{kept}{_MARK}\n\n{made} {platform.python_version()}; seed {size.seed}.\n\n{text}")
    return 0


def _timed(size: page.Size) -> list[tuple[str, list[str]]]:
    found, start = [], time.monotonic()
    for name, lines in page.sections(size):
        print(f"scale: {name}, {time.monotonic() - start:.0f} s", file=sys.stderr)
        found.append((name, lines))
        start = time.monotonic()
    return found


if __name__ == "__main__":
    raise SystemExit(main())
