"""The command `sharedsession`: what it prints, and its exit status."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from servers import Memcached, StartMemcached, free_port
from storage import changes
from test_membership import listed, wait_until
from test_servers_fork import ENVIRONMENT
from test_sweep import Town, lives, parts_of

from sharedsession import SessionConfig
from sharedsession.__main__ import main
from sharedsession.assembly import assemble

SECRET = "x" * 32  # what the sessions of test_sweep are signed with
OTHER_SECRET = "another_secret_of_another_application"


class Outcome:
    """What a command did."""

    def __init__(self, status: int, out: str, error: str) -> None:
        self.status = status
        self.out = out
        self.error = error
        assert SECRET not in out + error
        assert OTHER_SECRET not in out + error


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return a function that runs a command in this process: run("sweep", "n1", NODES="n1:...")."""

    def command(*arguments: str, **environment: str) -> Outcome:
        for name, value in {"SECRET_KEY": SECRET, **environment}.items():
            monkeypatch.setenv(f"SHAREDSESSION_{name}", value)
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse
            status = int(str(ended.code))
        return Outcome(status, *capsys.readouterr())

    yield command
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("sharedsession")])


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_nodes_that_answer(run: Run, nodes: list[Memcached]) -> None:
    """A line for each node says how fast it answers; the status is 0."""
    done = run("nodes", NODES=listed(nodes))
    assert (done.status, done.error) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[:4] for line in lines] == [
        [server.name, f"127.0.0.1:{server.port}", "answers", "in"] for server in nodes
    ]


def test_a_node_that_does_not(run: Run, nodes: list[Memcached]) -> None:
    """A node that is away is named with the reason, the others are asked all the same; the status is 1."""
    nodes[1].kill()
    done = run("nodes", NODES=listed(nodes))
    assert done.status == 1
    assert [line.split()[2] for line in done.out.splitlines()] == ["answers", "DOWN:", "answers"]
    assert "ConnectionRefusedError" in done.out


def test_a_node_that_hangs(run: Run, memcached: Memcached) -> None:
    """A node that accepts and says nothing is down after the time-out of the options."""
    memcached.hang()
    done = run("nodes", NODES=memcached.node, TIMEOUT="0.2")
    memcached.resume()
    assert (done.status, "DOWN: TimeoutError" in done.out) == (1, True)


def test_asking_needs_no_secret(run: Run, memcached: Memcached, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see how the nodes are, the application's secret is not needed; to sweep one, it is."""
    monkeypatch.setattr(sys, "argv", ["sharedsession"])
    monkeypatch.setenv("SHAREDSESSION_NODES", memcached.node)
    monkeypatch.delenv("SHAREDSESSION_SECRET_KEY", raising=False)
    assert main(["nodes"]) == 0
    assert main(["sweep", "n1"]) == 2


def test_nodes_of_a_dns_name(run: Run, memcached: Memcached) -> None:
    """A DNS name is looked up as the application does it."""
    done = run("nodes", NODES=f"dns:localhost:{memcached.port}")
    assert (done.status, done.out.split()[:2]) == (0, ["ip-127-0-0-1", f"127.0.0.1:{memcached.port}"])


# -- sweep -------------------------------------------------------------------------------------------------------------


def test_sweep(run: Run, nodes: list[Memcached]) -> None:
    """What the node holds is carried away, counted and said; the status is 0, and the node can be stopped."""
    town = Town(nodes, 40)
    held = len(lives(nodes[2], town.keys))
    done = run("sweep", "n3", NODES=listed(nodes))
    assert (done.status, done.error) == (0, "")
    assert done.out == (
        f"n3: {held} carried, 0 gone meanwhile, 0 unreadable, 0 failed, 0 of others left alone\nit can be stopped\n"
    )
    nodes[2].kill()
    parts = parts_of(nodes[:2])
    town.check(parts)
    town.parts.close()
    parts.close()


def test_sweep_of_a_node_off_the_list(run: Run, nodes: list[Memcached]) -> None:
    """A node that the list has lost already is given by its entry."""
    town = Town(nodes, 40)
    done = run("sweep", nodes[2].node, NODES=listed(nodes[:2]))
    assert (done.status, done.error) == (0, "")
    assert done.out.endswith("it can be stopped\n")
    nodes[2].kill()
    parts = parts_of(nodes[:2])
    town.check(parts)
    town.parts.close()
    parts.close()


def test_sweep_of_an_empty_node(run: Run, nodes: list[Memcached]) -> None:
    """A node that holds nothing can be stopped."""
    done = run("sweep", "n3", NODES=listed(nodes))
    assert (done.status, done.out.splitlines()[-1], done.error) == (0, "it can be stopped", "")


def test_sweep_with_the_options_of_the_application(run: Run, nodes: list[Memcached]) -> None:
    """Prefix, number of copies and former secrets are taken from the environment as the application takes them."""
    parts = parts_of(nodes, key_prefix="shop:", copies=1, secret_key=OTHER_SECRET)
    keys = [f"shop:{number:064x}" for number in range(20)]
    for key in keys:
        parts.store.create(key, changes(a=b"1"), 1800)
    held = lives(nodes[2], keys)
    options = {"KEY_PREFIX": "shop:", "COPIES": "1", "SECRET_KEY_FALLBACKS": OTHER_SECRET}
    done = run("sweep", "n3", NODES=listed(nodes), **options)
    assert done.status == 0
    assert done.out.startswith(f"n3: {len(held)} carried")
    assert sum(len(lives(server, list(held))) for server in nodes[:2]) == len(held)
    parts.close()


def test_sweep_with_another_secret(run: Run, nodes: list[Memcached]) -> None:
    """When nothing can be read, the status is 1 and the secret is asked about: stopping the node would lose all."""
    town = Town(nodes, 20)
    done = run("sweep", "n3", NODES=listed(nodes), SECRET_KEY=OTHER_SECRET)
    assert (done.status, "can be stopped" in done.out) == (1, False)
    assert done.error == "sharedsession: n3: nothing that it holds can be read: is secret_key the application's?\n"
    town.parts.close()


def test_sweep_with_another_prefix(run: Run, nodes: list[Memcached]) -> None:
    """When there are keys, but none with the prefix, the status is 1 and the prefix is asked about."""
    town = Town(nodes, 20)
    done = run("sweep", "n3", NODES=listed(nodes), KEY_PREFIX="shop:")
    assert (done.status, "can be stopped" in done.out) == (1, False)
    assert "is key_prefix the application's?" in done.error
    town.parts.close()


def test_sweep_that_is_not_complete(run: Run, nodes: list[Memcached]) -> None:
    """While another node is down there is one copy too few: the status is 1, and a second run completes it."""
    town = Town(nodes, 20)
    nodes[0].kill()
    done = run("sweep", "n3", NODES=listed(nodes))
    assert (done.status, "can be stopped" in done.out) == (1, False)
    assert "run this again before the node is stopped" in done.error
    nodes[0].start()
    assert run("sweep", "n3").status == 0
    town.parts.close()


def test_sweep_of_a_dead_node(run: Run, nodes: list[Memcached]) -> None:
    """A node that does not answer cannot be swept: the status is 1."""
    nodes[2].kill()
    done = run("sweep", "n3", NODES=listed(nodes))
    assert (done.status, done.out) == (1, "")
    assert done.error.startswith("sharedsession: n3: ")
    assert "refused" in done.error


def test_sweep_without_a_crawler(run: Run, start_memcached: StartMemcached) -> None:
    """A server that does not tell its keys is a clear error: the status is 1."""
    nodes = [start_memcached("n1"), start_memcached("n2"), start_memcached("n3", ("-o", "no_lru_crawler"))]
    done = run("sweep", "n3", NODES=listed(nodes))
    assert done.status == 1
    assert done.error == "sharedsession: n3: it does not tell its keys: CLIENT_ERROR lru crawler disabled\n"


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["sweep", "n9"], {}, "'n9' is none of n1"),
        (["sweep", "n1"], {}, "without n1 there are fewer nodes than required copies"),
        (["sweep", "n9:127.0.0.1:port"], {}, "'port' is not a port"),
        (["sweep", "n1"], {"NODES": "memory"}, "set SHAREDSESSION_NODES"),
        (["nodes"], {"NODES": "memory"}, "set SHAREDSESSION_NODES"),
        (["nodes"], {"NODES": "n1"}, "'n1' is not name:host:port"),
        (["nodes"], {"NODES": "dns:nobody.invalid"}, "'nobody.invalid'"),
        (["nodes"], {"COPIES": "two"}, "copies: 'two' is not a whole number"),
        (["sweep", "n1"], {"SECRET_KEY": "short"}, "secret_key: has 5 bytes"),
        ([], {}, "required: command"),
        (["sweep"], {}, "required: node"),
        (["mend"], {}, "invalid choice"),
    ],
)
def test_mistakes(run: Run, arguments: list[str], environment: dict[str, str], said: str) -> None:
    """A wrong option or argument is said on stderr, and the status is 2."""
    done = run(*arguments, **{"NODES": f"n1:127.0.0.1:{free_port()}", **environment})
    assert (done.status, done.out) == (2, "")
    assert said in done.error


def test_no_nodes_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SHAREDSESSION_NODES there is nothing to ask: the status is 2."""
    monkeypatch.delenv("SHAREDSESSION_NODES", raising=False)
    done = run("nodes")
    assert (done.status, "set SHAREDSESSION_NODES" in done.error) == (2, True)


def test_help(run: Run) -> None:
    """--help names the commands, where options come from, and the statuses."""
    done = run("--help")
    assert done.status == 0
    for word in ("nodes", "sweep", "SHAREDSESSION_NODES", "Exit status"):
        assert word in done.out


def test_as_a_process(nodes: list[Memcached]) -> None:
    """`python -m sharedsession` is the command: output and status are those of `main`."""
    environment = {**ENVIRONMENT, "SHAREDSESSION_NODES": listed(nodes), "SHAREDSESSION_SECRET_KEY": SECRET}

    def process(*arguments: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "sharedsession", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    done = process("nodes")
    assert (done.status, len(done.out.splitlines()), done.error) == (0, 3, "")
    done = process("sweep", "n3")
    assert (done.status, done.error) == (0, "")
    assert process("sweep", "n4").status == 2
    nodes[2].kill()
    assert process("nodes").status == 1


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_with_the_same_secret(run: Run, nodes: list[Memcached]) -> None:
    """Where the application nodes' secret is the one given here, and every node answers, the status is 0."""
    leave(nodes, SECRET)
    done = run("check", NODES=listed(nodes))
    assert (done.status, done.error) == (0, "")
    assert done.out.count("answers in") == 3
    assert done.out.endswith("secret_key: no other one is in use\n")


def test_check_with_another_secret(run: Run, nodes: list[Memcached]) -> None:
    """Where it is another one, the status is 1 and the reason is told; the check itself leaves nothing."""
    leave(nodes, OTHER_SECRET)
    for _ in range(2):
        done = run("check", NODES=listed(nodes))
        assert done.status == 1
        assert "does not know" in done.error
    assert run("check", NODES=listed(nodes), SECRET_KEY=OTHER_SECRET).status == 0
    assert run("check", NODES=listed(nodes), SECRET_KEY_FALLBACKS=OTHER_SECRET).status == 0


def test_check_with_a_node_down(run: Run, nodes: list[Memcached]) -> None:
    """A node that does not answer makes the status 1 as well."""
    nodes[0].kill()
    assert run("check", NODES=listed(nodes)).status == 1


def leave(nodes: list[Memcached], secret: str) -> None:
    """Leave what an application node with that secret leaves at its first use."""
    parts = assemble(SessionConfig(nodes=listed(nodes), secret_key=secret))
    assert parts.policy.manager.agreement is not None
    parts.policy.manager.agreement.leave()
    parts.close()
