"""Any link at all: what `encode_url` must never do, whatever it is given (Hypothesis)."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sharedsession.tracking.url import Place, UrlParameter
from tracking.walker import IDS, resolve, without_dots

ID = IDS.new().text
PARAMETER = UrlParameter("jsessionid")
SUFFIX = f";jsessionid={ID}"

PIECES = st.sampled_from(
    "/ // . .. %2e %2F ? # ; ;v=1 app a é % %41 : @ http: // \\ www.example.com evil.net :80 :81 [::1] jsessionid= "
    f";jsessionid=OLD %3Bjsessionid%3DOLD {SUFFIX}".split()
)
LINKS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20)
PATHS = st.lists(st.sampled_from(["/", "//", "app", "a", ".", "..", ";v=1"]), max_size=5).map(
    lambda parts: "/" + "".join(parts)
)
PLACES = st.builds(
    Place,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["www.example.com", "www.example.com:80", "[::1]", "x:y", "", "["]),
    st.sampled_from(["/", "/app", "/app/"]),
    PATHS,
    st.sampled_from(["", "q=1"]),
)
EVIL = Place("http", "www.example.com", "/", "//evil.net/x", "")


def carries(url: str) -> bool:
    """Say whether the id stands in the URL."""
    return SUFFIX in url


@settings(max_examples=300)
@given(LINKS, PLACES)
@example("", EVIL)
@example("/;jsessionid=1/evil.net", EVIL)
@example(";jsessionid=1//evil.net", EVIL)
def test_never_to_another_host(url: str, place: Place) -> None:
    """An id goes to the page's own scheme and host, and below its mount point, or nowhere."""
    encoded = PARAMETER.encode(url, ID, place)
    if encoded == url:
        return
    page = f"{place.scheme}://{place.host}{place.path}"
    reached = resolve(page, encoded)
    host = re.sub(r"^.*@|:(80|443)?$", "", reached.host).lower()
    assert (reached.scheme, host) == (place.scheme, place.host.removesuffix(":80"))
    mount = place.mount.rstrip("/")
    path = PARAMETER.strip(reached.path).replace("%41", "A")
    assert re.match(rf"{mount}([/;]|$)", path)


@settings(max_examples=300)
@given(LINKS, PLACES)
def test_strip_undoes_encode(url: str, place: Place) -> None:
    """Stripped again, an encoded link is what it was; a link to the same document says the same in full."""
    encoded = PARAMETER.encode(url, ID, place)
    if encoded == url or PARAMETER.strip(url) != url:
        return
    stripped = PARAMETER.strip(encoded)
    page = f"{place.scheme}://{place.host}{without_dots(place.path)}?{place.query}"
    plain, again = resolve(page, url), resolve(page, stripped)
    assert (again.path, again.query.strip("?")) == (plain.path or "/", plain.query.strip("?"))
    if not re.fullmatch(r"(http:)?(//[^/?#]*)?([?#].*)?", url, re.IGNORECASE | re.DOTALL):
        assert stripped == url


@settings(max_examples=150)
@given(LINKS, PLACES)
def test_one_id(url: str, place: Place) -> None:
    """The path of an encoded link holds the id once, and no other."""
    encoded = PARAMETER.encode(url, ID, place)
    if encoded != url:
        path = re.split("[?#]", encoded)[0]
        assert path.count(SUFFIX) == 1
        assert PARAMETER.strip(path) == path.replace(SUFFIX, "")


@settings(max_examples=150)
@given(LINKS, PLACES)
def test_twice_is_once(url: str, place: Place) -> None:
    """A link that was encoded is not changed by being encoded again."""
    once = PARAMETER.encode(url, ID, place)
    assert PARAMETER.encode(once, ID, place) == once


@settings(max_examples=150)
@given(LINKS, PLACES)
def test_replaced(url: str, place: Place) -> None:
    """Encoded with one id, then with another, a link carries the other alone."""
    other = IDS.reissue("0" * 32).text
    once = PARAMETER.encode(url, ID, place)
    if carries(once.partition("#")[0].partition("?")[0]):
        assert PARAMETER.encode(once, other, place).replace(other, ID) == once


@given(st.text("abc/.;=%é12", max_size=12))
def test_round_trip_of_plain_paths(rest: str) -> None:
    """A path of the application is, encoded and stripped again, the same text."""
    path = "/app/" + rest
    encoded = PARAMETER.encode(path, ID, Place("http", "www.example.com", "/app", "/app/x", ""))
    assert PARAMETER.strip(encoded) == path
