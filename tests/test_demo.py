"""The demo: its check holds, its buttons obey its own page only, and nothing of it outlives it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the examples are not installed

from examples.demo import balancer, picture  # noqa: E402
from examples.demo.cluster import Cluster  # noqa: E402
from examples.demo.control import ControlError, Server, Supervisor, environment  # noqa: E402
from examples.demo.process import accepts, free_port, wait_until  # noqa: E402

RING = [(0.1, "n1"), (0.2, "n1"), (0.4, "n2"), (0.5, "n1"), (0.7, "n3"), (0.9, "n2")]
TOKEN = "the token of this run"


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo as a user does; end it whatever the test finds."""
    command = [sys.executable, "-m", "examples.demo", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_check_holds() -> None:
    """`./run demo --check` finds every promise kept."""
    with demo("--check") as process:
        text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert "FAILED" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_demo(number: signal.Signals) -> None:
    """However the demo ends, its servers and its files are gone."""
    with demo("--port", "18080") as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Logs" in line:
                break
        text = "".join(lines)
        ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)}
        directory = Path(text.split("Logs")[1].split()[0]).parent
        assert len(ports) == 6, text
        assert all(accepts(port) for port in ports)
        process.send_signal(number)
        process.wait(timeout=20)
    assert wait_until(lambda: not any(accepts(port) for port in ports), 10)
    assert wait_until(lambda: not directory.exists(), 10)


class Recorder:
    """A process that only notes what is done to it."""

    def __init__(self, *, running: bool = True) -> None:
        self.running = running

    def kill(self) -> None:
        """Be killed."""
        self.running = False


@pytest.fixture
def victims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Recorder]]:
    """Two processes below a control socket to which the environment points."""
    processes = {"n1": Recorder(), "web1": Recorder()}

    def restart(name: str) -> None:
        processes[name].running = True

    cluster = SimpleNamespace(
        control_token=TOKEN, processes=processes, apps={"web1": processes["web1"]}, restart=restart
    )
    path = tmp_path / "control"
    server = Server(cast("Cluster", cluster), path)
    for name, value in environment(path, TOKEN).items():
        monkeypatch.setenv(name, value)
    yield processes
    server.close()


def test_the_supervisor_kills_and_restarts(victims: dict[str, Recorder]) -> None:
    """What the page asks for has happened when it asks for the status next."""
    supervisor = Supervisor()
    supervisor.kill("n1")
    supervisor.kill("web1")
    assert supervisor.running() == {"n1": False, "web1": False}
    supervisor.restart("web1")
    assert supervisor.running() == {"n1": False, "web1": True}


@pytest.mark.parametrize(("token", "name"), [("another", "n1"), ("", "n1"), (TOKEN, "init"), (TOKEN, "")])
def test_the_supervisor_refuses(victims: dict[str, Recorder], token: str, name: str) -> None:
    """A wrong token, or a process that is not the demo's, moves nothing."""
    supervisor = Supervisor()
    supervisor.token = token
    with pytest.raises(ControlError):
        supervisor.kill(name)
    assert all(victim.running for victim in victims.values())


def test_without_a_supervisor() -> None:
    """An application started alone gets an error, not a hang."""
    with pytest.raises(ControlError):
        Supervisor().running()


def test_a_port_that_is_taken_is_passed_over(start_memcached: Any) -> None:
    """The next free port is found."""
    server = start_memcached()
    assert free_port(server.port) > server.port


def test_the_balancer_listens_on_loopback_only() -> None:
    """Every address in nginx's configuration is this machine's own."""
    text = balancer.configuration(Path("/somewhere"), {8080: "http", 8081: "https"}, [9001, 9002])
    assert re.findall(r"listen (.*);", text) == ["127.0.0.1:8080", "127.0.0.1:8081"]
    assert re.findall(r" server (.*) max_fails", text) == ["127.0.0.1:9001", "127.0.0.1:9002"]


@pytest.mark.parametrize(
    ("point", "copies", "expected"),
    [
        (0.3, ("n2", "n1"), [("n2", 1), ("n1", 2), ("n3", 0), ("n2", 0)]),
        (0.3, ("n2", "n3"), [("n2", 1), ("n1", 0), ("n3", 2), ("n2", 0), ("n1", 0)]),
        (0.95, ("n1", "n2"), [("n1", 1), ("n1", 0), ("n2", 2), ("n1", 0), ("n3", 0)]),
        (0.4, (), [("n2", 0), ("n1", 0)]),
    ],
)
def test_the_walk(point: float, copies: tuple[str, ...], expected: list[tuple[str, int]]) -> None:
    """It starts at the session's point, finds the copies in order, and goes two points on."""
    assert [(stop.name, stop.copy) for stop in picture.walk(RING, point, copies)] == expected


def test_the_picture_covers_the_ring() -> None:
    """Every stretch of the ring belongs to the node at its end; without a session only the pin is missing."""
    drawn = picture.draw(RING, None, ["n1", "n2", "n3"])
    assert {name: path.count("M") for name, path in drawn.arcs.items()} == {"n1": 3, "n2": 2, "n3": 1}
    assert not drawn.placed
    assert [badge.copy for badge in drawn.badges] == [0, 0, 0]


def test_the_guard(tmp_path: Path) -> None:
    """When its input closes, it kills what was left running and removes the directory."""
    directory = tmp_path / "demo"
    directory.mkdir()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
    guard = [sys.executable, str(ROOT / "examples/demo/guard.py"), str(directory)]
    subprocess.run(guard, input=f"+{sleeper.pid}\n+999999\n-999999\n", text=True, check=True)
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not directory.exists()
