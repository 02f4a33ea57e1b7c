"""What must stay secret: not logged, not shown, and compared in constant time."""

from __future__ import annotations

import ast
import hashlib
import logging
import re
from pathlib import Path

import pytest
from logwatch import WATCH, guard
from webclient import SECRET, logged_in, pages, put, show

import sharedsession
from sharedsession.stats import logger

ROOT = Path(sharedsession.__file__).parent
KEY = "sharedsession:" + hashlib.sha256(b"a").hexdigest()
VALUE = "what only this session holds"
ANOTHER = guard("a secret that only this test knows")

# -- logs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, logging.DEBUG, logging.WARNING, logging.CRITICAL])
@pytest.mark.parametrize(
    "text",
    [
        KEY.partition(":")[2],
        KEY,
        f"JSESSIONID={KEY[-64:]}.web1;",
        repr(KEY.encode()),
        f"token {KEY[-32:]}",
        f"with {SECRET}",
        ANOTHER,
        f"'{VALUE}'",
    ],
)
def test_the_watch_sees(level: int, text: str) -> None:
    """An id, a storage key, the random part of an id, a secret or a value in a record of any level is noticed."""
    logged_in(pages({"/login": put("a", [VALUE])}))
    logger.log(level, "memcached node %s says %s", "n1", text)
    assert len(WATCH.take()) == 1


def test_the_watch_sees_tracebacks_and_arguments() -> None:
    """What stands in the text of an exception, or in an argument that is not shown, counts too."""
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("failed")
    logger.debug("%.1s", KEY)
    logging.getLogger("somebody.else").debug("a secret: %s", SECRET)
    assert len(WATCH.take()) == 3


def test_the_watch_lets_the_rest_pass(caplog: pytest.LogCaptureFixture) -> None:
    """Other records are no leaks, and the watch hands on exactly what the level lets through."""
    before = WATCH.looked_at
    logger.debug("memcached node %s marked down", "n1")
    logger.warning("memcached node %s answers again (%d so far)", "20010db8000000000000000000000001", 3)
    logging.getLogger("somebody.else").info("a value: %s", VALUE)
    assert WATCH.take() == []
    assert WATCH.looked_at == before + 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_watch_is_on_everywhere() -> None:
    """Values that a session stores are remembered, so that a log line with one would be noticed."""
    client = logged_in(pages({"/login": put("cart", {"tea": VALUE.upper()}), "/show": show}))
    assert VALUE.upper() in client.get("/show").text
    logger.info("%s", VALUE.upper())
    assert len(WATCH.take()) == 1


# -- comparisons ---------------------------------------------------------------------------------------------------

#: Names of things by which somebody proves something; constants, in capitals, are none.
_PROOF = re.compile(r"(?:^|_)(?:mac|hmac|tag|digest|secrets?|signatures?|signed|passwords?|token|nonce)(?:$|_)")
#: Comparisons of such names that prove nothing: file, comparison -> why.
ALLOWED: dict[tuple[str, str], str] = {
    ("codec.py", "tag == _tag(key)"): "the end of the storage key, which whoever writes to memcached knows",
    ("manager.py", "found.token not in tokens"): "of ids that have been verified, whether two are the same",
    ("memory.py", "(item and item.cas) != (command.token and command.token.cas)"): "a number for compare-and-swap",
}

#: Files in which a tag is HTML's.
OF_HTML = {
    "handler.py",
    "foreign.py",
    "pages.py",
    "html.py",
    "tags.py",
    "forms.py",
    "rules.py",
    "fence.py",
    "ignored.py",
}


def suspicious(source: str) -> list[str]:
    """Return the comparisons by ==, != or in of what may be a proof."""
    return [ast.unparse(item) for item in ast.walk(ast.parse(source)) if isinstance(item, ast.Compare) and _risky(item)]


def _risky(comparison: ast.Compare) -> bool:
    if not any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in comparison.ops):
        return False
    if any(isinstance(side, ast.Constant) for side in (comparison.left, *comparison.comparators)):
        return False  # with a text that stands in the source, which is no secret
    inside = [each for each in ast.walk(comparison) if isinstance(each, ast.Name | ast.Attribute)]
    return any(_PROOF.search(each.id if isinstance(each, ast.Name) else each.attr) for each in inside)


def test_proofs_are_compared_in_constant_time() -> None:
    """No file compares a MAC, a secret or a signature by an operator, which stops at the first byte that differs."""
    files = [path for path in ROOT.rglob("*.py") if path.name not in OF_HTML]
    found = {(path.name, text) for path in files for text in suspicious(path.read_text())}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "source", ["mac == other", "self._secret_key != text", "x.digest() in known", "a = b if tag != c else d"]
)
def test_the_check_sees_comparisons(source: str) -> None:
    """The search finds what is plainly there, so that the other test can fail."""
    assert len(suspicious(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["len(raw) + _MAC_SIZE == 3", "mac is None", "password == ''", "hmac.compare_digest(mac, other)", "image == 1"],
)
def test_the_check_lets_others_pass(source: str) -> None:
    """Lengths, presence, constant-time comparisons and other names are no finding."""
    assert suspicious(source) == []
