"""One connection: the exact bytes sent, and every reply that is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product

import pytest
from scripted import Dialog, Script, ScriptedServer, answering
from servers import Memcached

from sharedsession.memcached import protocol
from sharedsession.memcached.commands import (
    Answer,
    Command,
    Conflict,
    Delete,
    Failed,
    Found,
    Get,
    Missing,
    Ping,
    Put,
    Refused,
    Stored,
    Token,
    TooLarge,
    Touch,
)
from sharedsession.memcached.protocol import exptime
from sharedsession.memcached.transport import MemcachedTransport

Serve = Callable[[Script], ScriptedServer]
Connect = Callable[..., MemcachedTransport]

#: A token that any connection may use.
ANY = 1 << 30
DAY = 86400
GOOD = b"VA 4 c9 t50 %O\r\ngood\r\n"


def one(transport: MemcachedTransport, command: Command) -> Answer:
    """Return the answer of node n1."""
    return transport.ask([("n1", command)])[0]


def value(answer: Answer) -> bytes:
    """Return the value found."""
    assert isinstance(answer, Found), answer
    return answer.value


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reply", "sent"),
    [
        (Get("k", 60), b"EN %O\r\n", b"mg k v c t T60 O1\r\n"),
        (Get("k", None), b"EN %O\r\n", b"mg k v c t O1\r\n"),
        (Put("k", b"abc", 60, None), b"HD c5 %O\r\n", b"ms k 3 T60 c ME O1\r\nabc\r\n"),
        (Put("k", b"", 60, None), b"HD c5 %O\r\n", b"ms k 0 T60 c ME O1\r\n\r\n"),
        (Put("k", b"a\r\nb", 60, Token(77, ANY)), b"HD c5 %O\r\n", b"ms k 4 T60 c C77 O1\r\na\r\nb\r\n"),
        (Touch("k", 60), b"HD %O\r\n", b"mg k T60 O1\r\n"),
    ],
)
def test_commands_are_these_bytes(serve: Serve, connect: Connect, command: Command, reply: bytes, sent: bytes) -> None:
    """Every command is one meta command with an opaque, after one question whether meta commands are known."""
    server = serve(answering(reply))
    one(connect(server), command)
    assert server.log == [b"mn\r\n", sent]


def test_delete_is_not_waited_for(serve: Serve, connect: Connect) -> None:
    """A delete is sent with noreply, and the connection goes on with the next command."""
    server = serve(answering(b"", GOOD))
    transport = connect(server)
    assert isinstance(one(transport, Delete("k")), Stored)
    assert value(one(transport, Get("k", None))) == b"good"
    assert server.log == [b"mn\r\n", b"delete k noreply\r\n", b"mg k v c t O2\r\n"]


def test_ping_asks_on_a_connection_of_its_own(serve: Serve, connect: Connect) -> None:
    """A ping greets anew although an idle connection is there: that one might be the only thing still working."""
    server = serve(answering(GOOD))
    transport = connect(server)
    one(transport, Get("k", None))
    assert isinstance(one(transport, Ping()), Stored)
    assert set(server.log[2:]) == {b"mn\r\n"}
    assert server.accepted == 2


def test_each_command_on_a_connection_has_another_opaque(serve: Serve, connect: Connect) -> None:
    """Two commands on one connection never carry the same opaque, or a late reply would pass for the next one."""
    server = serve(answering(GOOD, GOOD, GOOD))
    transport = connect(server)
    for _ in range(3):
        assert value(one(transport, Get("k", None))) == b"good"
    assert [line.split()[-1] for line in server.log[1:]] == [b"O1", b"O2", b"O3"]


@pytest.mark.parametrize(("ttl", "sent"), [(-5, 1), (0, 1), (1, 1), (30 * DAY, 30 * DAY)])
def test_lives_up_to_30_days_are_sent_as_they_are_and_never_below_1(ttl: int, sent: int) -> None:
    """0 would mean for ever and a negative number at once, so neither is ever sent."""
    assert exptime(ttl) == sent


def test_a_life_over_30_days_is_sent_as_a_date() -> None:
    """Above 30 days memcached reads a date, so a date is what it gets."""
    assert abs(exptime(30 * DAY + 1) - (time.time() + 30 * DAY + 1)) <= 2


def test_no_date_is_beyond_what_memcached_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """memcached counts seconds in 32 bits and drops at once what ends later, so no later date is sent."""
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000.0)  # March 2030
    assert exptime(10 * 365 * DAY) == 2**31 - 1


def test_memcached_drops_what_ends_after_2038_at_once(memcached: Memcached) -> None:
    """The reason for the rule above, asked of a real server: an exptime of 2**31 is taken, and the item is gone."""
    assert memcached.command(b"ms k 1 T2147483648\r\nx") == b"HD\r\n"
    assert memcached.command(b"mg k v") == b"EN\r\n"
    assert memcached.command(b"ms k 1 T2147483647\r\nx") == b"HD\r\n"
    assert memcached.command(b"mg k v") != b"EN\r\n"


# -- what comes back ---------------------------------------------------------------------------------------------------

PUT = Put("k", b"abc", 60, Token(77, ANY))


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        (Get("k", 9), b"EN %O\r\n", Missing),
        (PUT, b"HD c5 %O\r\n", Stored),
        (PUT, b"EX %O\r\n", Conflict),
        (PUT, b"NS %O\r\n", Conflict),
        (PUT, b"NF %O\r\n", Missing),
        (Touch("k", 9), b"HD %O\r\n", Stored),
        (Touch("k", 9), b"EN %O\r\n", Missing),
        (PUT, b"SERVER_ERROR object too large for cache\r\n", TooLarge),
        (PUT, b"SERVER_ERROR out of memory storing object\r\n", Refused),
        (Get("k", 9), b"SERVER_ERROR out of memory writing get response\r\n", Failed),
    ],
)
def test_replies_are_told_apart(
    serve: Serve, connect: Connect, command: Command, reply: bytes, kind: type[Answer]
) -> None:
    """Each reply of memcached is one kind of answer; a refusal is neither a miss nor a dead node."""
    assert isinstance(one(connect(serve(answering(reply))), command), kind)


def test_found_carries_value_token_and_remaining_life(serve: Serve, connect: Connect) -> None:
    """A reply of several lines, flags in any order, is read whole."""
    found = one(connect(serve(answering(b"VA 6 O1 t33 c12\r\na\r\nEN\r\r\n"))), Get("k", 9))
    assert isinstance(found, Found)
    assert (found.value, found.token.cas, found.token.connection, found.remaining) == (b"a\r\nEN\r", 12, 1, 33)


_GOOD = ["VA 3 c12 t33 O1", "VA 0 c12 t-1 O1", "HD c12 O1"]
_WORDS = ["VA", "HD", "EN", "0", "3", "03", "-2", "c12", "t12", "t-1", "12", "33", "O1", "O2", "x", ""]
_WORDS += ["t\n-1", "t\n1", "c1\t", "c\x0b1", "c+1", "c1_0", "t\u00b2", "t\u0661"]  # what int() or isdigit() take
_RESTS = [b"", b"abc\r\n", b"abc", b"abcde", b"\r\n", b"ab\r\n", b"a\r\n\r\n", b"abc\r\nEN O1\r\n"]


def lines() -> Iterator[str]:
    """Yield first lines of replies: good ones, and the same with a word in place of another, a word more, one less."""
    for words in map(str.split, _GOOD):
        yield " ".join(words)
        for place in range(len(words) + 1):
            yield " ".join([*words[:place], *words[place + 1 :]])
            for word in _WORDS:
                yield " ".join([*words[:place], word, *words[place + 1 :]])
                yield " ".join([*words[:place], word, *words[place:]])


@pytest.mark.parametrize("command", [Get("k", 9), PUT, Touch("k", 9)], ids=["get", "put", "touch"])
def test_the_short_way_says_what_the_long_way_says(command: Command) -> None:
    """A reply that is taken for a usual one is whole, ends there, echoes the opaque and says just that."""
    taken = 0
    for line, rest in product(lines(), _RESTS):
        found = protocol.usual(command, "O1", f"{line}\r\n".encode() + rest, 5)
        if found is not None:
            taken += 1
            check(found, command, line, rest)
    assert (taken > 0) is not isinstance(command, Touch)


def check(found: Answer, command: Command, line: str, rest: bytes) -> None:
    """Assert that the long way finds the same in a reply; what it refuses raises."""
    status, *flags = line.encode().split()
    value = rest[:-2] if status == b"VA" else b""
    assert rest == (value + b"\r\n" if status == b"VA" else b""), line
    assert status != b"VA" or protocol.size(flags) == len(value), line
    assert b"O1" in flags
    assert told(found) == told(protocol.answer(command, status, flags, value, 5)), line


def told(answer: Answer) -> tuple[object, ...]:
    """Return what an answer holds, to be compared."""
    assert isinstance(answer, Found | Stored)
    token = answer.token.cas, answer.token.connection
    return (answer.value, answer.remaining, token) if isinstance(answer, Found) else (token,)


def test_a_connection_is_not_used_after_a_server_error(serve: Serve, connect: Connect) -> None:
    """SERVER_ERROR echoes no opaque, so nothing proves that the connection is still in step."""
    server = serve(answering(b"SERVER_ERROR out of memory storing object\r\n", GOOD))
    transport = connect(server)
    one(transport, PUT)
    one(transport, Get("k", None))
    assert server.accepted == 2


BAD_FOR_GET = {
    "opaque of another": b"VA 4 c1 t1 O999\r\nevil\r\n",
    "opaque is a prefix": b"VA 4 c1 t1 O11\r\nevil\r\n",
    "no opaque": b"VA 4 c1 t1\r\nevil\r\n",
    "miss without opaque": b"EN\r\n",
    "classic reply": b"VALUE k 0 4\r\nevil\r\nEND\r\n",
    "reply to another kind": b"HD %O\r\n",
    "unknown word": b"XX %O\r\n",
    "empty line": b"\r\n",
    "ERROR": b"ERROR\r\n",
    "CLIENT_ERROR": b"CLIENT_ERROR bad command line format\r\n",
    "size is no number": b"VA four c1 t1 %O\r\nevil\r\n",
    "size is negative": b"VA -4 c1 t1 %O\r\nevil\r\n",
    "size is missing": b"VA\r\nevil\r\n",
    "size is giant": b"VA 99999999999 c1 t1 %O\r\nevil\r\n",
    "longer than announced": b"VA 4 c1 t1 %O\r\nevil!!\r\n",
    "no CRLF after the value": b"VA 4 c1 t1 %O\r\nevilXX",
    "token is no number": b"VA 4 cx t1 %O\r\nevil\r\n",
    "no token": b"VA 4 t1 %O\r\nevil\r\n",
    "endless line": b"VA " + b"4" * 100_000,
    "not even text": b"\xff\xfe\x00\r\n",
}


def bad_then_good(bad: bytes) -> Script:
    """Answer badly on the first connection, well on all others."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(bad if dialog.number == 1 else GOOD)
        dialog.wait_for_hang_up()

    return script


@pytest.mark.parametrize("bad", BAD_FOR_GET.values(), ids=BAD_FOR_GET)
def test_a_bad_reply_is_a_failure_and_the_end_of_the_connection(serve: Serve, connect: Connect, bad: bytes) -> None:
    """Nothing of an answer that cannot be trusted is used, at once, and the connection is never used again."""
    server = serve(bad_then_good(bad))
    transport = connect(server, timeout=5)
    start = time.monotonic()
    assert isinstance(one(transport, Get("k", 60)), Failed)
    assert time.monotonic() - start < 2  # at once, not after the time-out
    assert value(one(transport, Get("k", 60))) == b"good"
    assert server.accepted == 2
    assert server.has_ended(1)


@pytest.mark.parametrize(
    "bad", [b"VA 9 c1 t1 %O\r\nevil", b"VA 9 c1 t1 %O\r\nevil\r\n", b"VA 4 c1 t1 %O\r", b"VA 4", b""]
)
def test_an_answer_cut_short_is_a_failure_after_the_time_out(serve: Serve, connect: Connect, bad: bytes) -> None:
    """Half an answer is none: the wait ends with the time-out, and the rest of it meets nobody."""
    transport = connect(serve(bad_then_good(bad)))
    start = time.monotonic()
    assert isinstance(one(transport, Get("k", 60)), Failed)
    assert 0.28 < time.monotonic() - start < 0.9
    assert value(one(transport, Get("k", 60))) == b"good"


@pytest.mark.parametrize("bad", [b"VA 9 c1 t1 %O\r\nevil", b"VA 4", b""])
def test_a_connection_closed_in_mid_answer_is_a_failure(serve: Serve, connect: Connect, bad: bytes) -> None:
    """A first answer that the server cuts off is a failure, at once."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(bad)

    answer = one(connect(serve(script)), Get("k", 60))
    assert isinstance(answer, Failed)
    assert "closed by the server" in answer.reason


@pytest.mark.parametrize(
    "bad", [b"HD %O\r\n", b"HD cx %O\r\n", b"VA 3 c1 t1 %O\r\nabc\r\n", b"HD c5 O7\r\n", b"STORED\r\n", b"HD\r\n"]
)
def test_a_bad_reply_to_a_write_is_no_acknowledgement(serve: Serve, connect: Connect, bad: bytes) -> None:
    """Nothing is taken for stored unless this command's own reply says so, with the new token."""
    assert isinstance(one(connect(serve(answering(bad))), PUT), Failed)


def test_an_endless_line_is_given_up_early(serve: Serve, connect: Connect) -> None:
    """A line without end is refused after a bounded number of bytes, not collected until memory or time is out."""

    def endless(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        while True:
            dialog.send(b"x" * 1000)

    start = time.monotonic()
    answer = one(connect(serve(endless), timeout=5), Get("k", 60))
    assert isinstance(answer, Failed)
    assert time.monotonic() - start < 3


def drip(dialog: Dialog, text: bytes) -> None:
    """Send a byte every 30 ms: a time-out for each piece would never fire."""
    for byte in text:
        dialog.send(bytes([byte]))
        time.sleep(0.03)


@pytest.mark.parametrize("where", ["greeting", "line", "value"])
def test_a_trickle_does_not_stretch_the_time_out(serve: Serve, connect: Connect, where: str) -> None:
    """The time-out bounds the whole answer, however often a byte of it arrives."""

    def script(dialog: Dialog) -> None:
        if where == "greeting":
            dialog.command()
            drip(dialog, b"M" * 100)
        dialog.greet()
        dialog.command()
        if where == "value":
            dialog.send(b"VA 100 c1 t1 %O\r\n")
        drip(dialog, b"V" * 100)

    start = time.monotonic()
    assert isinstance(one(connect(serve(script)), Get("k", 60)), Failed)
    assert 0.25 < time.monotonic() - start < 0.9  # the drip goes on for 3 seconds


@pytest.mark.parametrize("piece", [b"V", b"STAT x 1\r\n"], ids=["value", "lines"])
def test_bytes_without_end_do_not_stretch_the_time_out(serve: Serve, connect: Connect, piece: bytes) -> None:
    """A server whose bytes keep coming, one by one or as lines, is given up at the time-out all the same."""
    over = threading.Event()

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(b"VA 100000000 c1 t60 O1\r\n" if piece == b"V" else b"")
        with suppress(OSError):
            while not over.is_set():
                dialog.send(piece * 1000)
                dialog.send(piece)

    question = Get("k", 60) if piece == b"V" else Put("k", b"x" * 100_000, 60, None)
    start = time.monotonic()
    try:
        assert isinstance(one(connect(serve(script)), question), Failed)
    finally:
        over.set()
    assert time.monotonic() - start < 10  # it would go on for ever


def test_a_slow_answer_leaves_the_next_command_its_whole_time(serve: Serve, connect: Connect) -> None:
    """What a slow answer has used of its time-out is not taken from the next command, whose value is large."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(b"STAT item_size_max 134217728\r\nEND\r\n")
        dialog.command()
        dialog.send(b"HD c10 %O\r\n")
        dialog.command()
        dialog.send(b"VA 4 c9 t50 %O\r\ngo")
        time.sleep(0.6)
        dialog.send(b"o")
        time.sleep(0.02)
        dialog.send(b"d\r\n")
        time.sleep(0.6)  # a server that is slow to read
        dialog.command()
        dialog.send(b"HD c10 %O\r\n")

    transport = connect(serve(script), timeout=1.0)
    assert isinstance(one(transport, Put("k", b"x" * 100_000, 60, None)), Stored)
    assert value(one(transport, Get("k", 60))) == b"good"
    assert isinstance(one(transport, Put("k", b"x" * 16_000_000, 60, None)), Stored)


@pytest.mark.parametrize("old", [b"ERROR\r\n", b"CLIENT_ERROR\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_a_server_without_meta_commands_is_named_as_such(serve: Serve, connect: Connect, old: bytes) -> None:
    """With a memcached before 1.6, or no memcached at all, the failure says what is needed."""

    def script(dialog: Dialog) -> None:
        dialog.command()
        dialog.send(old)
        dialog.wait_for_hang_up()

    answer = one(connect(serve(script)), Get("k", 60))
    assert isinstance(answer, Failed)
    assert "memcached 1.6 or newer is needed" in answer.reason


def test_a_server_one_reply_behind_never_serves_a_wrong_value(serve: Serve, connect: Connect) -> None:
    """A server that answers each command with the reply to the one before never gets a value to anybody."""

    def behind(dialog: Dialog) -> None:
        dialog.greet()
        reply = b"VA 5 c1 t1 O0\r\nfirst\r\n"
        while True:
            key = dialog.command().split()[1]
            dialog.send(reply)
            reply = b"VA %d c1 t1 O%b\r\n%b\r\n" % (len(key), dialog.opaque, key)

    transport = connect(serve(behind))
    answers = [one(transport, Get(f"key{number}", None)) for number in range(20)]
    assert all(isinstance(answer, Failed) for answer in answers), answers


def test_an_unasked_second_reply_is_never_read_as_the_next_answer(serve: Serve, connect: Connect) -> None:
    """A connection on which more arrived than was asked for is closed."""
    server = serve(answering(b"VA 4 c9 t5 O1\r\ngood\r\nVA 4 c9 t5 O2\r\nevil\r\n", GOOD))
    transport = connect(server)
    assert value(one(transport, Get("k", None))) == b"good"
    assert value(one(transport, Get("other", None))) == b"good"
    assert server.accepted == 2


def test_an_unasked_reply_that_comes_late_is_never_read_as_the_next_answer(serve: Serve, connect: Connect) -> None:
    """A second reply that arrives while the connection is idle makes the next command fail, not lie."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        dialog.send(GOOD)
        if dialog.number == 1:
            dialog.send(b"VA 4 c9 t5 O1\r\nevil\r\n")
        dialog.command()
        dialog.send(GOOD)

    transport = connect(serve(script))
    assert value(one(transport, Get("k", None))) == b"good"
    time.sleep(0.05)
    late = one(transport, Get("other", None))
    assert isinstance(late, Failed) or value(late) == b"good"
    assert value(one(transport, Get("third", None))) == b"good"
