"""All targets, by name. Each is made when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from . import bodies, markup, stored, texts, visits, wire
from .target import Target

TARGETS: dict[str, Callable[[], Target]] = {
    "cookies": visits.cookies,
    "paths": visits.paths,
    "bodies": bodies.bodies,
    "forwarded": visits.forwarded,
    "ids": texts.ids,
    "replies": wire.replies,
    "dumps": wire.dumps,
    "records": stored.records,
    "signed_bodies": stored.signed_bodies,
    "values": stored.values,
    "nodes": texts.nodes,
    "settings": texts.settings,
    "former_cookies": texts.former_cookies,
    "pages": markup.pages,
}

CORPUS = Path(__file__).parent / "corpus"


def corpus(name: str) -> Iterable[Path]:
    """Return the files with inputs that a target once had trouble with, or could have."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def with_corpus(name: str) -> Target:
    """Return a target that begins with its corpus too."""
    target = TARGETS[name]()
    return target._replace(seeds=(*target.seeds, *(path.read_bytes() for path in corpus(name))))
