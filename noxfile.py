"""The suite on every supported Python, with the oldest and the newest frameworks: `./run nox`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13"]
#: The oldest versions that pyproject.toml allows.
OLDEST = ["flask==3.0.0", "werkzeug==3.1.0", "django==5.2", "pyramid==2.0.2", "itsdangerous==2.2.0", "msgpack==1.1.0"]
NEWEST = ["flask", "werkzeug", "django", "pyramid", "itsdangerous", "msgpack"]
#: What these versions have no part in, or (peers) is made for the pinned ones: the default run has it.
ELSEWHERE = [
    "simulation",
    "faults",
    "peers",
    "test_balancers.py",
    "test_browser.py",
    "test_demo.py",
    "test_public_types.py",
]


@nox.session(python=PYTHONS)
@nox.parametrize("versions", [nox.param(OLDEST, id="oldest"), nox.param(NEWEST, id="newest")])
def tests(session: nox.Session, versions: list[str]) -> None:
    """Run the tests that meet a framework, or this Python."""
    pinned = Path(session.create_tmp()) / "constraints.txt"
    pinned.write_text("\n".join(_tools()))
    session.install("--upgrade", "-c", str(pinned), "pip")  # for --group
    session.install("--upgrade", "-c", str(pinned), "-e", ".", "--group", "dev", *versions)
    session.run("python", "-m", "pip", "list", "--format=freeze", silent=True)
    ignored = [f"--ignore=tests/{name}" for name in ELSEWHERE]
    session.run("python", "-m", "pytest", "-q", "-n", "3", *ignored, *session.posargs)


def _tools() -> list[str]:
    """Return the pins of everything but the frameworks."""
    free = {requirement.partition("=")[0] for requirement in OLDEST}
    lines = Path("constraints.txt").read_text().splitlines()
    return [line for line in lines if "==" in line and line.partition("==")[0].lower() not in free]
