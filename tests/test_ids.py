"""Session ids: what they look like, which are refused, and what they never give away."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_text

from sharedsession.ids import BadId, IdFactory, SessionId, derive_keys

KEY = b"k" * 32
FORMER = b"f" * 32
PREFIX = "sharedsession:"

routes = st.just("") | st.from_regex(r"[A-Za-z0-9_]{1,32}", fullmatch=True)


def factory(*keys: bytes, prefix: str = PREFIX, route: str = "") -> IdFactory:
    return IdFactory(keys or (KEY,), prefix, route)


def parsed(ids: IdFactory, text: str) -> SessionId:
    result = ids.parse(text)
    assert isinstance(result, SessionId), result
    return result


# -- form ----------------------------------------------------------------------------------------------------------


@given(routes)
def test_an_id_is_64_hex_digits_and_the_route_after_a_dot(route: str) -> None:
    """Every balancer can cut the id: hex, at most one dot, then letters, digits and underscores."""
    text = factory(route=route).new().text
    assert re.fullmatch(r"[0-9a-f]{64}" + (re.escape(f".{route}") if route else ""), text)


def test_every_one_of_the_128_random_bits_varies() -> None:
    """The random part is 128 bits wide: over many ids each bit is sometimes 0 and sometimes 1."""
    tokens = [int(factory().new().token, 16) for _ in range(200)]
    ones = zeros = 0
    for token in tokens:
        ones |= token
        zeros |= ~token
    everything = 2**128 - 1
    assert ones == everything
    assert zeros & everything == everything


def test_ids_never_repeat() -> None:
    """Ten thousand ids are ten thousand different ids under different storage keys."""
    ids = factory()
    made = [ids.new() for _ in range(10_000)]
    assert len({each.token for each in made}) == len({each.key for each in made}) == len(made)


def test_the_form_of_ids_and_keys_is_pinned() -> None:
    """A known secret and random part give the known id and storage key: another version still knows its sessions."""
    made = factory(route="web1").reissue("00112233445566778899aabbccddeeff")
    assert made.text == "00112233445566778899aabbccddeeffdc8cfb352b8165b2ce0515ffd348c018.web1"
    assert made.key == "sharedsession:5947d7c33d783f94b3b4c1a96ebc8991ed28f1b069b71e03376cba8caa98a720"


# -- parse ---------------------------------------------------------------------------------------------------------


@given(routes)
def test_a_new_id_is_read_back_as_itself(route: str) -> None:
    """What the client returns unchanged is the same session id, and needs no new text."""
    ids = factory(route=route)
    made = ids.new()
    seen = parsed(ids, made.text)
    assert (seen.text, seen.token, seen.key, seen.route) == (made.text, made.token, made.key, route)
    assert not made.outdated
    assert not seen.outdated


@given(routes, routes)
def test_any_node_reads_the_id_of_another_route(issuer: str, reader: str) -> None:
    """The route is no part of the signature: every application node serves the session, and sees who issued the id."""
    made = factory(route=issuer).new()
    seen = parsed(factory(route=reader), made.text)
    assert (seen.key, seen.route) == (made.key, issuer)


@given(st.integers(0, 63), st.characters())
def test_a_changed_character_is_never_accepted(position: int, character: str) -> None:
    """One other character in the signed part makes the id forged (if hex) or malformed (if not)."""
    text = factory().reissue("0123456789abcdef" * 2).text
    if text[position] == character:
        return
    changed = text[:position] + character + text[position + 1 :]
    expected = BadId.FORGED if character in "0123456789abcdef" else BadId.MALFORMED
    assert factory().parse(changed) is expected


def test_every_single_hex_change_is_forged() -> None:
    """No position of the random part or of the MAC is left uncovered."""
    ids = factory(route="web1")
    text = ids.new().text
    for position in range(64):
        for digit in "0123456789abcdef":
            if digit != text[position]:
                assert ids.parse(text[:position] + digit + text[position + 1 :]) is BadId.FORGED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: "\n" + text,
        lambda text: text + " ",
        lambda text: text.upper(),
        lambda text: text + ".",
        lambda text: text + ".a.b",
        lambda text: text + ".web-1",
        lambda text: text + ".web1\n",
        lambda text: text + "." + "r" * 33,
        lambda text: text + ".café",
        lambda text: text + ".\u0661",
        lambda text: "\u0661" + text[1:],
        lambda text: "\uff11" + text[1:],
        lambda text: text[:64] + ",web1",
        lambda text: text + "\0",
        lambda text: text + "\udcff",
        lambda text: text * 1000,
    ],
)
def test_what_has_not_the_form_of_an_id_is_malformed(spoil: object) -> None:
    """Anything around or inside an id that is not its form is malformed, Unicode digits and line ends included."""
    assert callable(spoil)
    assert factory().parse(spoil("a" * 64)) is BadId.MALFORMED
    assert factory().parse(spoil(factory().new().text)) is BadId.MALFORMED


@given(any_text | st.text("0123456789abcdef.\n", max_size=100) | st.from_regex(r"[0-9a-f]{64}(\.\w+)?"))
def test_arbitrary_text_never_raises_and_is_never_an_id(text: str) -> None:
    """Whatever a client sends is one of two values, never an exception and never a session."""
    assert factory().parse(text) in (BadId.MALFORMED, BadId.FORGED)


def test_another_secret_makes_the_id_forged() -> None:
    """An id signed under a secret that is not ours is refused without asking memcached."""
    assert factory(FORMER).parse(factory(KEY).new().text) is BadId.FORGED


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_former_key_verifies_and_says_so() -> None:
    """After a change of secret the old id is the same session, marked to be issued anew."""
    made = factory(FORMER, route="web1").new()
    seen = parsed(factory(KEY, b"g" * 32, FORMER), made.text)
    assert seen.outdated
    assert (seen.key, seen.token, seen.route) == (made.key, made.token, "web1")


def test_a_reissued_id_keeps_its_session() -> None:
    """Re-issuing under the present key changes the MAC and the route, not the random part and the storage key."""
    old = factory(FORMER, route="web1").new()
    ids = factory(KEY, FORMER, route="web2")
    new = ids.reissue(old.token)
    assert (new.token, new.key, new.route, new.outdated) == (old.token, old.key, "web2", False)
    assert new.mac != old.mac
    assert not parsed(ids, new.text).outdated


def test_new_ids_are_signed_by_the_present_key_only() -> None:
    """A fallback never signs: once it is removed, no id made meanwhile is lost."""
    text = factory(KEY, FORMER).new().text
    assert isinstance(factory(KEY).parse(text), SessionId)
    assert factory(FORMER).parse(text) is BadId.FORGED


@given(st.text("abc:/", min_size=1, max_size=4), st.text("abc:/", min_size=1, max_size=4))
def test_two_prefixes_are_two_worlds(one: str, other: str) -> None:
    """An id made under one key_prefix is forged under every other, even with the same secret."""
    text = factory(prefix=one).new().text
    assert isinstance(factory(prefix=other).parse(text), SessionId) == (one == other)


def test_derived_keys_differ_by_secret_purpose_and_prefix() -> None:
    """No two uses share a key, and no key is the secret itself."""
    derived = {
        derive_keys((secret,), purpose, prefix)[0]
        for secret in (KEY, FORMER)
        for purpose in ("sharedsession.id.v1", "sharedsession.record.v1")
        for prefix in ("a:", "b:")
    }
    assert len(derived) == 8
    assert not derived & {KEY, FORMER}


# -- what it never gives away --------------------------------------------------------------------------------------


@given(routes)
def test_repr_never_shows_the_id(route: str) -> None:
    """A log line with a SessionId, however formatted, holds neither the random part nor the MAC nor the key."""
    made = factory(route=route).new()
    for shown in (repr(made), str(made), f"{made}", f"{made!s:>10}", repr([made]), "%s %r" % (made, made)):  # noqa: UP031
        assert made.token not in shown
        assert made.mac not in shown
        assert made.key not in shown


@given(routes)
def test_the_storage_key_gives_no_id(route: str) -> None:
    """A list of memcached's keys holds no part of an id, and every key has the same length."""
    made = factory(route=route).new()
    assert re.fullmatch(re.escape(PREFIX) + "[0-9a-f]{64}", made.key)
    for part in (made.token, made.mac, made.token[:16], made.mac[:16], made.token[16:]):
        assert part not in made.key
    assert factory(FORMER).reissue(made.token).key == made.key
