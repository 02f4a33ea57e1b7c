"""Starts contenders in processes of their own, in an environment of their own, and talks to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .contenders import BASES

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bench"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_WARM_UP = 1000


def contenders_python() -> str:
    """Return the Python that has the contenders' packages; the first time, install them."""
    python = VENV / "bin" / "python"
    stamp = VENV / "stamp"
    wanted = _wanted()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("bench: installing the contenders into .venv/bench (a minute, the first time)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted)
    return str(python)


def _wanted() -> str:
    texts = [REQUIREMENTS.read_bytes(), (ROOT / "constraints.txt").read_bytes(), str(ROOT).encode()]
    return f"{sys.version} {zlib.crc32(b''.join(texts))}"


class Contender:
    """A running child.

    Args:
        python: the interpreter.
        ports: of its memcached servers.
        options: for the child, such as `--count`.
        under: a command that runs it, such as valgrind.
    """

    def __init__(
        self, python: str, ports: list[int], options: tuple[str, ...] = (), under: tuple[str, ...] = ()
    ) -> None:
        environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "PYTHONHASHSEED": "0"}
        command = [*under, python, "-m", "bench.child", *options, *map(str, ports)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def order(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something (a method of `child.Child`); return what it answers.

        Raises:
            RuntimeError: it has failed; why is on stderr.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the contender ended at {do} {arguments}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def serve(self, contender: str, kind: str, payload: str, count: int) -> dict[str, Any]:
        """Prepare and serve `count` requests of a kind; return what was measured."""
        self.order("prepare", contender=contender, kind=kind, payload=payload, count=count)
        return self.order("run")

    def warm_up(self, contender: str) -> None:
        """Serve enough new sessions for what a process remembers, such as places on the ring, to be remembered."""
        self.serve(contender, "create" if contender in BASES else "untouched", "small", _WARM_UP)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
