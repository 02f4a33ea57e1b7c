"""What PHP's own tests expect of its url_rewriter, and what is made of the same tags here.

The cases are those of the tests of `output_add_rewrite_var`, `session.use_trans_sid` and bug 44394 in php-src: there
the page is on the host whose links are rewritten (`session.trans_sid_hosts`), and the id is put into the query.
"""

from __future__ import annotations

import pytest

from rewriting.pages import FIELD, SUFFIX, page, rewrite
from sharedsession.tracking.url import Place

PLACE = Place("http", "php.example", "/", "/page.php", "")

# (address, whether PHP puts the id in, what is otherwise here)
ADDRESSES = [
    ("", True, ""),
    ("./foo.php", True, ""),
    ("file.php", True, ""),
    ("file.php?foo", True, ""),
    ("file.php?foo=var#bar", True, ""),
    ("some/path/file.php?foo=var", True, ""),
    ("/", True, ""),
    ("/#bar", True, ""),
    ("/?foo=var#bar", True, ""),
    ("a?q=1", True, ""),
    ("//php.example/foo.php", True, ""),
    ("http://php.example/foo.php", True, ""),
    ("http://php.example", True, ""),
    (
        "https://php.example/foo.php",
        True,
        "another origin: a session of http is not shown to https, as its cookie's rules",
    ),
    ("bad://php.example/foo.php", False, ""),
    ("//www.php.example/foo.php", False, ""),
    ("http://www.php.example/foo.php", False, ""),
    ("//other.example/foo.php", False, ""),
    ("http://other.example/foo.php", False, ""),
    ("bad://other.example/foo.php", False, ""),
    ("#bar", False, ""),
    ("mailto:a@php.example", False, ""),
    ("javascript:go()", False, ""),
]
TAGS = ['<a href="{}"></a>', "<a href='{}'></a>", '<area href="{}">', '<frame src="{}">']


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(("address", "by_php", "otherwise"), ADDRESSES)
def test_links(tag: str, address: str, by_php: bool, otherwise: str) -> None:
    """Links carry the id where those of PHP do, but for an empty frame, which is no request, and another scheme."""
    here = by_php and not otherwise and not ("src" in tag and not address)
    assert (SUFFIX.encode() in rewrite(tag.format(address).encode(), place=PLACE)) == here


@pytest.mark.parametrize(("address", "by_php", "otherwise"), ADDRESSES)
def test_forms_by_post(address: str, by_php: bool, otherwise: str) -> None:
    """Forms by POST get the hidden field where those of PHP do; so does one to "#...", which leads to the page."""
    out = rewrite(f'<form action="{address}" method="post"> </form>'.encode(), urls=False, place=PLACE)
    here = (by_php and not otherwise) or address.startswith("#")
    assert out.count(FIELD.encode()) == here
    assert out.startswith(b"<form")
    assert out.endswith(b"> </form>")


@pytest.mark.parametrize(("address", "by_php", "otherwise"), ADDRESSES)
def test_forms_by_get(address: str, by_php: bool, otherwise: str) -> None:
    """A form by GET carries the id in its action, where PHP writes a hidden field: no id is ever in a query."""
    out = rewrite(f'<form action="{address}" method="get"> </form>'.encode(), place=PLACE)
    assert FIELD.encode() not in out
    assert (SUFFIX.encode() in out) == ((by_php and not otherwise) or address.startswith("#"))


@pytest.mark.parametrize("tag", ['<form method="get">', '<form method="post">', "<form>"])
def test_form_without_action(tag: str) -> None:
    """A form without an action is sent to the page itself: it carries the id, as PHP's has the field."""
    assert SUFFIX.encode() in rewrite(tag.encode(), place=PLACE)


@pytest.mark.parametrize("tag", ['<fieldset class="x">', '<input src="file.php">', '<img src="file.php">'])
def test_other_tags(tag: str) -> None:
    """Fieldsets, in which PHP writes the field once more, and images stay as they are."""
    assert rewrite(tag.encode(), place=PLACE) == tag.encode()


@pytest.mark.parametrize("cut", range(1, 26))
def test_flushed_in_the_middle(cut: int) -> None:
    """A page that is flushed in the middle of a tag loses no byte (PHP's bug 44394), and the tag is rewritten."""
    rewriter = page(place=PLACE)
    text = b"<a href='a?q=1'>asd</a>"
    assert rewriter.push(text[:cut]) + rewriter.push(text[cut:]) + rewriter.finish() == text.replace(
        b"a?", f"a{SUFFIX}?".encode()
    )
