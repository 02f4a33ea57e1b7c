"""Large pages as they are met in the world, made by chance from a seed: 20 kinds of markup."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

Chance = random.Random

_TEXT = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "you were all her she there would their we him been has when who will no more if out so said what up its about "
    "than them can only other new some could time these two may then do first any my now such like our over man me"
)
_WORDS = _TEXT.split()


def words(chance: Chance, count: int) -> str:
    """Return so many words."""
    return " ".join(chance.choices(_WORDS, k=count))


def path(chance: Chance) -> str:
    """Return the path of a page, with a query sometimes."""
    query = f"?page={chance.randrange(99)}&amp;sort=name" if chance.random() < 0.3 else ""
    return f"{chance.choice(_WORDS)}/{chance.randrange(10000)}{query}"


def link(chance: Chance) -> str:
    """Return a link: most to the application, some elsewhere."""
    target = chance.choices([f"/app/{path(chance)}", f"https://{chance.choice(_WORDS)}.example/", "#top"], [8, 2, 1])[0]
    return f'<a class="link link--{chance.choice(_WORDS)}" href="{target}">{words(chance, 3)}</a>'


def article(chance: Chance) -> str:
    """Return text with links, as a newspaper or an encyclopedia has."""
    title = f"<h2 id=s{chance.randrange(99)}>{words(chance, 4)}</h2>"
    return f"{title}\n<p>{words(chance, 40)} {link(chance)} {words(chance, 60)}</p>\n"


def card(chance: Chance) -> str:
    """Return a product in a list."""
    price = f'<span class="price" data-amount="{chance.randrange(9999)}">€&nbsp;{chance.randrange(99)}</span>'
    image = f'<img src="/app/img/{chance.randrange(99)}.webp" alt="{words(chance, 3)}" loading="lazy" width=320>'
    inside = f"  {image}\n  {link(chance)} {price}\n"
    return (
        f'<li class="col-6 col-md-3"><div class="card" itemscope itemtype="https://schema.org/Product">{inside}</div>\n'
    )


def row(chance: Chance) -> str:
    """Return a row of a table in an administration."""
    cells = "".join(f"<td>{words(chance, 2)}</td>" for _ in range(6))
    return f"<tr data-id='{chance.randrange(9999)}'>{cells}<td>{link(chance)}</td></tr>\n"


def comment(chance: Chance) -> str:
    """Return a comment of a forum, with a form to answer."""
    return (
        f'<div class=comment>{words(chance, 30)}<form method="post" action="/app/answer/{chance.randrange(999)}">'
        f'<input type="hidden" name="csrf" value="{chance.getrandbits(128):x}">'
        '<textarea name=t></a><a href="/app/no"></textarea>'
        f"<button>Send</button></form></div><!-- {words(chance, 5)} <a href='/app/no'> -->\n"
    )


def drawing(chance: Chance) -> str:
    """Return an icon drawn in the page."""
    points = " ".join(f"L{chance.randrange(24)}.{chance.randrange(9)} {chance.randrange(24)}" for _ in range(20))
    inside = f'<title>{words(chance, 2)}</title><path d="M0 0{points}"/>'
    return f'<svg viewBox="0 0 24 24" aria-hidden="true">{inside}</svg>{link(chance)}\n'


def script(chance: Chance) -> str:
    """Return a script with markup in its strings, and data."""
    data = json.dumps({chance.choice(_WORDS): words(chance, 20) for _ in range(8)})
    code = f"var html = '<a href=\"/app/no\">' + {data}; if (a<b && b>c) go();"
    return f"<script>{code}</script>\n<p>{words(chance, 20)} {link(chance)}</p>\n"


def style(chance: Chance) -> str:
    """Return a style sheet in the page."""
    sheet = f".{chance.choice(_WORDS)}>a{{content:'<a href=/app/no>'}}"
    return f"<style>{sheet}</style><div style='color:red'>{link(chance)}</div>\n"


def soup(chance: Chance) -> str:
    """Return markup of the nineties: upper case, few quotes, nothing closed."""
    text = f"<A HREF=/app/{chance.randrange(999)}>{words(chance, 5)}</A><BR><LI>{words(chance, 9)}"
    return f"<TR><TD BGCOLOR=#FFFFFF><FONT FACE=Arial SIZE=2>{text}\n"


def picture(chance: Chance) -> str:
    """Return a picture that lies in its address."""
    data = "".join(chance.choices("ABCDEFabcdef0123+/", k=4000))
    return f'<img alt="" src="data:image/png;base64,{data}">{link(chance)}\n'


def frame(chance: Chance) -> str:
    """Return a frame and a map."""
    inside = f"<iframe src='/app/{path(chance)}' title='{words(chance, 2)}'></iframe>"
    return f"{inside}<map><area href='/app/x' alt=''></map>\n"


def code(chance: Chance) -> str:
    """Return a listing, escaped."""
    inside = f"&lt;a href=&quot;/app/no&quot;&gt;{words(chance, 9)}&lt;/a&gt;"
    return f"<pre><code class='language-html'>{inside}</code></pre>{link(chance)}\n"


def deep(chance: Chance) -> str:
    """Return what a page builder makes of a line of text."""
    return '<div class="wrap"><div>' * 8 + link(chance) + "</div></div>" * 8 + "\n"


_KINDS: list[tuple[Callable[[Chance], str], ...]] = [
    *((article,), (card,), (row,), (comment,), (drawing,), (script,), (style,), (soup,), (picture,), (frame,)),
    *((code,), (deep,), (article, comment), (card, drawing, script), (row, frame), (style, script, soup)),
    *((article, code), (deep, card), (picture, article, drawing)),
    (article, card, row, comment, drawing, script, style, soup, frame, code, deep),
]


def page(number: int, size: int = 100_000) -> bytes:
    """Return one of 20 pages, of about `size` bytes."""
    chance = random.Random(number)
    kinds = _KINDS[number]
    title = f"<title>{words(chance, 5)} <a href='/app/no'></title>"
    parts = [f"<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>{title}</head><body>\n"]
    length = 0
    while length < size:
        parts.append(kinds[len(parts) % len(kinds)](chance))
        length += len(parts[-1])
    return "".join([*parts, "</body></html>\n"]).encode()


PAGES = range(len(_KINDS))
