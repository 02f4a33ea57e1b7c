"""One small attribute of a 200 KiB session changes, beside decoding and encoding all of it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import msgpack

from sharedsession.assembly import VALUES
from sharedsession.codec import Decoded, RecordCodec
from sharedsession.compression import decompressed
from sharedsession.record import Entry, Record

from ..figures import SAME
from ..timing import cores, start_servers
from .meter import Action, in_turn, pinned, table
from .site import Site
from .sizes import cart

#: What a change may cost of decoding and encoding everything.
LIMIT = 1 / 3
_KEY = "sharedsession:" + "0" * 64
_ROUNDS, _COUNT = 15, 4


def measure() -> list[str]:
    """Return the section."""
    values = cart(200)
    with ExitStack() as stack:
        servers = start_servers(stack, cores()[SAME])
        stack.enter_context(pinned(cores()[SAME]))
        site = Site(servers[:1], 1)
        change = site.request("/change", site.create(values))
        actions = {"change": change, **_everything(values)}
        found = in_turn({name: (action, _COUNT) for name, action in actions.items()}, _ROUNDS)
    ours = found.pop("change")
    rows = [(f"{name}: decode, encode all", each, f"{ours.middle / each.middle:.2f}") for name, each in found.items()]
    return [
        "## One attribute of a large session",
        "",
        "A 200 KiB session (as JSON), `copies=1`: microseconds of CPU of the whole request that changes one small",
        "attribute, memcached's round trips included, beside decoding and encoding everything, without any request.",
        f"Wanted: a ratio of at most {LIMIT:.2f} to a library that does the same with all of it.",
        "",
        *table(("", "us", "the change is to it as"), [("request that changes one attribute", ours, ""), *rows]),
    ]


def _everything(values: dict[str, Any]) -> dict[str, Action]:
    text, packed = json.dumps(values), msgpack.packb(values)
    return {
        "JSON": lambda: json.dumps(json.loads(text)),
        "msgpack": lambda: msgpack.packb(msgpack.unpackb(packed)),
        "our own codec, with types, compression and MAC": _own(values),
    }


def _own(values: dict[str, Any]) -> Action:
    codec = RecordCodec((b"s" * 32,), "sharedsession:")

    def encode(values: dict[str, Any]) -> bytes:
        entries: dict[str, Entry] = {
            name: (1, 1 << 62, VALUES.encode(name, value), 0, 0) for name, value in values.items()
        }
        return codec.encode(_KEY, Record(1_700_000_000, (1800, 1, 0), 1800, entries))

    stored = encode(values)

    def everything() -> None:
        found = codec.decode(_KEY, stored)
        assert isinstance(found, Decoded)
        encode({name: VALUES.decode(decompressed(payload)) for name, payload in found.record.live.items()})

    return everything
