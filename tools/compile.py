"""Compiles what a request runs through into build/compiled, by mypyc: the same source, as machine code.

    ./run compile

Nothing is written beside the source, which is what tests and developers go on with. mypyc because it takes typed Python
as it is: there is one source, whose types a checker has proved, and what is not compiled works beside it as ever.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TARGET = ROOT / "build" / "compiled"
STAMP = TARGET / "stamp"

#: Not here: what applications derive from, what is referred to weakly, which mypyc's classes do not allow, and what no
#: usual request comes by.
MODULES = [
    "attributes",
    "cipher",
    "codec",
    "commit",
    "compression",
    "dialogue",
    "exchange",
    "guard",
    "ids",
    "life",
    "lines",
    "mac",
    "listing",
    "manager",
    "memcached/cluster",
    "memcached/commands",
    "memcached/connection",
    "memcached/copies",
    "memcached/node",
    "memcached/outcomes",
    "memcached/patience",
    "memcached/protocol",
    "memcached/ring",
    "memcached/settle",
    "memcached/store",
    "memcached/transport",
    "memcached/wire",
    "record",
    "response",
    "serving",
    "state",
    "stats",
    "tracking/caching",
    "tracking/cookie",
    "tracking/tracking",
    "values",
    "view",
]


def main() -> None:
    """Compile, unless that was done with this very source."""
    wanted = stamp()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("compile: a minute or two, into build/compiled", file=sys.stderr)
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(SOURCE, TARGET / "src", ignore=shutil.ignore_patterns("__pycache__"))
    os.chdir(TARGET)  # both tools write where they are
    compile_all()
    STAMP.write_text(wanted)


def compile_all() -> None:
    """Put a compiled module beside each of `MODULES`, in the present directory's copy of the source."""
    files = [f"src/sharedsession/{name}.py" for name in MODULES]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--python-executable", sys.executable]
    setup(
        name="sharedsession",
        packages=["sharedsession"],
        package_dir={"": "src"},
        ext_modules=mypycify([*options, *files], opt_level=level()),
        script_args=["--quiet", "build_ext", "--inplace"],
    )


def level() -> str:
    """Return how much the C compiler is to optimise: SHAREDSESSION_OPT_LEVEL, 0 to 3; 1 takes half of the time."""
    return os.environ.get("SHAREDSESSION_OPT_LEVEL", "3")


def stamp() -> str:
    """Return what the result depends on, shortened."""
    read = [Path(__file__), ROOT / "constraints.txt", *sorted(SOURCE.rglob("*.py"))]
    contents = b"\0".join(path.read_bytes() for path in read)
    return f"{level()} {sys.version} {hashlib.sha256(contents).hexdigest()}"


if __name__ == "__main__":
    main()
