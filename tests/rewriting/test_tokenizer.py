"""Tags are found where the HTML Standard has them: the tokenizer tests of the html5lib project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rewriting import publishedtests
from rewriting.pages import bytewise, plain, rewrite, rewrite_pieces
from sharedsession.tracking.handler import Handler
from sharedsession.tracking.html import Tokenizer
from sharedsession.tracking.tags import Tag

Found = tuple[str, str, dict[str, str]]


class All(frozenset[bytes]):
    """Every name."""

    def __contains__(self, name: object) -> bool:
        return True


class Recorder(Handler):
    """Takes note of all tags."""

    held = All()
    ends = All()

    def __init__(self) -> None:
        self.found: list[Found] = []

    def start(self, tag: Tag) -> None:
        attributes = {_text(name): tag.text(name) for name in tag.attributes}
        self.found.append(("StartTag", _text(tag.name), attributes))

    def end(self, name: bytes) -> None:
        self.found.append(("EndTag", _text(name), {}))

    def overlong(self, name: bytes) -> bytes:
        return b""


class Plain(Tokenizer):
    """Goes on with data behind every tag, as these tests have it; `_content` is part of tree construction."""

    def _content(self, name: bytes, *, is_html: bool) -> Callable[[], bool]:
        return self._data


def _text(data: bytes) -> str:
    return data.decode("utf-8").replace("\0", "\ufffd")


def tags_of(data: bytes, state: str, last: str) -> list[Found]:
    """Return the tags of a text that begins in a state of the tokenizer."""
    recorder = Recorder()
    tokenizer = Plain(recorder, plain=frozenset())
    if state in ("RCDATA state", "RAWTEXT state"):
        tokenizer._text = last.encode()
        tokenizer._step = tokenizer._raw_text
    elif state == "Script data state":
        tokenizer._step = tokenizer._script
    elif state == "CDATA section state":
        tokenizer._step = tokenizer._cdata
    elif state == "PLAINTEXT state":
        tokenizer._step = None
    assert tokenizer.push(data) + tokenizer.finish() == data
    return recorder.found


def expected(output: list[Any]) -> list[Found]:
    """Return the tags of a test's output."""
    tags = [token for token in output if token[0] in ("StartTag", "EndTag")]
    return [(token[0], token[1], token[2] if token[0] == "StartTag" else {}) for token in tags]


def _compare(test: dict[str, Any], data: bytes, state: str) -> None:
    last = test.get("lastStartTag", "script")
    wanted = expected(test["output"])
    if state == "Script data state" and last != "script":
        # Only scripts are in this state; the tests take any name.
        data = data.replace(last.encode(), b"script").replace(last.upper().encode(), b"SCRIPT")
        wanted = [(kind, name.replace(last, "script"), values) for kind, name, values in wanted]
    found = tags_of(data, state, last)
    assert [tag[:2] for tag in found] == [tag[:2] for tag in wanted], test
    if data.isascii() and b"\0" not in data and b"\r" not in data:
        assert found == wanted, test


def test_published() -> None:
    """Every tag of the 6,800 published tests is found, with its attributes, and none else, in each of their states."""
    count = 0
    for test in publishedtests.tokenizer_tests():
        for state in test.get("initialStates", ["Data state"]):
            try:
                data = test["input"].encode()
            except UnicodeEncodeError:
                continue  # half a character: no bytes stand for it
            _compare(test, data, state)
            count += 1
    assert count > 6500


def test_published_pages() -> None:
    """Of the published pages, broken in every way that is known, every byte outside of URLs and forms stays."""
    count = 0
    for document in publishedtests.documents():
        whole = rewrite(document)
        assert rewrite_pieces(bytewise(document)) == whole
        assert plain(whole) == plain(document)
        count += 1
    assert count > 1500
