"""Compiles what a request runs through into build/compiled, by mypyc: the same source, as machine code.

    ./run compile           into build/compiled
    ./run compile --wheel   and as a wheel for this Python and this kind of machine, into dist

Nothing is written beside the source, which is what tests and developers go on with. mypyc because it takes typed Python
as it is: there is one source, whose types a checker has proved, and what is not compiled works beside it as ever.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import flit_core.buildapi
import packaging.tags
from mypyc.build import mypycify
from setuptools import setup

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TARGET = ROOT / "build" / "compiled"
STAMP = TARGET / "stamp"

#: Not here: what applications derive from (what that stands on is: `facade`, `serving`), what is referred to weakly,
#: which mypyc's classes do not allow, and what no usual request comes by.
MODULES = [
    "attributes",
    "cipher",
    "codec",
    "commit",
    "compression",
    "dialogue",
    "exchange",
    "facade",
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
    "packing",
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

#: Nobody puts functions of his own in the place of ours (ELF would allow it), so they call each other directly, and are
#: inlined: a quarter less of the processor's instruction cache, in which an application does not fit anyway.
DIRECT = ["-fno-semantic-interposition", "-fno-plt"]


def main() -> None:
    """Compile, and make a wheel if that is asked for."""
    parser = argparse.ArgumentParser(prog="compile", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wheel", nargs="?", const=ROOT / "dist", type=Path, metavar="DIRECTORY")
    into = parser.parse_args().wheel
    compile_anew()
    if into is not None:
        print(make_wheel(into.resolve()))


def compile_anew() -> None:
    """Compile, unless that was done with this very source."""
    wanted = stamp()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("compile: a minute or two, into build/compiled", file=sys.stderr)
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(SOURCE, TARGET / "src", ignore=shutil.ignore_patterns("__pycache__"))
    with contextlib.chdir(TARGET):  # both tools write where they are
        compile_all()
    STAMP.write_text(wanted)


def compile_all() -> None:
    """Put a compiled module beside each of `MODULES`, in the present directory's copy of the source."""
    files = [f"src/sharedsession/{name}.py" for name in MODULES]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--python-executable", sys.executable]
    extensions = mypycify([*options, *files], opt_level=level())
    if sys.platform == "linux":
        for extension in extensions:
            extension.extra_compile_args += DIRECT
    setup(
        name="sharedsession",
        packages=["sharedsession"],
        package_dir={"": "src"},
        ext_modules=extensions,
        script_args=["--quiet", "build_ext", "--inplace"],
    )


def make_wheel(into: Path) -> Path:
    """Put what is compiled into the wheel that the build backend makes of the source; return its path."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(ROOT):
        plain = Path(folder, flit_core.buildapi.build_wheel(folder))
        wheel("unpack", "--dest", folder, str(plain))
        (tree,) = (path for path in Path(folder).iterdir() if path.is_dir())
        for compiled in (TARGET / "src").rglob("*.so"):
            shutil.copy2(compiled, tree / compiled.relative_to(TARGET / "src"))
        (described,) = tree.glob("*.dist-info/WHEEL")
        tag = next(packaging.tags.sys_tags())
        text = described.read_text().replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
        described.write_text(text.replace("Tag: py3-none-any", f"Tag: {tag}"))
        wheel("pack", "--dest-dir", str(into), str(tree))
    (made,) = into.glob(f"{tree.name}-{tag}.whl")
    return made


def wheel(*arguments: str) -> None:
    """Run the command `wheel`."""
    subprocess.run([sys.executable, "-m", "wheel", *arguments], check=True, stdout=subprocess.DEVNULL)


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
