"""Draws added time as bars, in SVG."""

from __future__ import annotations

from collections.abc import Iterator

from .contenders import BASES
from .figures import SAME, Cell, Figures
from .payloads import KINDS

_COLOURS = {
    "floor-1": "#bbbbbb",
    "floor-2": "#888888",
    "compiled-1": "#2c7fb8",
    "compiled-2": "#253494",
    "sharedsession-1": "#a6cee3",
    "sharedsession-2": "#8da0cb",
    "flask-session": "#fdae61",
    "beaker": "#d7191c",
    "django-sliding": "#7b3294",
}
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 90, 560, 11, 16, 62


def svg(figures: Figures, payload: str = "small") -> str:
    """Return a picture of the time that each contender adds to each kind of request, with quartiles as whiskers."""
    names = [name for name in _COLOURS if name in BASES and figures.added(Cell(name, payload, "read", SAME))]
    group = len(names) * _BAR + _GAP
    height = _TOP + len(KINDS) * group + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 70}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="16" font-size="13">CPU that a session adds to a request, us ({payload})</text>',
        *_legend(names),
    ]
    for number, kind in enumerate(KINDS):
        lines += _group(figures, payload, kind, names, _TOP + number * group)
    return "\n".join([*lines, "</svg>", ""])


def _legend(names: list[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        x, y = _LEFT + (number % 4) * 150, 34 + (number // 4) * 15
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{_COLOURS[name]}"/>'
        yield f'<text x="{x + 14}" y="{y}">{name}</text>'


def _group(figures: Figures, payload: str, kind: str, names: list[str], top: int) -> Iterator[str]:
    yield f'<text x="{_LEFT - 8}" y="{top + len(names) * _BAR / 2 + 4}" text-anchor="end">{kind}</text>'
    scale = _WIDTH / _longest(figures, payload, names)
    for number, name in enumerate(names):
        added = figures.added(Cell(name, payload, kind, SAME))
        if added is None:
            continue
        y = top + number * _BAR
        low, middle, high = (max(value, 0) * scale for value in added)
        yield f'<rect x="{_LEFT}" y="{y}" width="{middle:.1f}" height="{_BAR - 1}" fill="{_COLOURS[name]}"/>'
        yield f'<path d="M{_LEFT + low:.1f} {y + 5}H{_LEFT + high:.1f}" stroke="black"/>'
        yield f'<text x="{_LEFT + max(middle, high) + 4:.1f}" y="{y + 9}" font-size="9">{added.middle:.1f}</text>'


def _longest(figures: Figures, payload: str, names: list[str]) -> float:
    found = [figures.added(Cell(name, payload, kind, SAME)) for name in names for kind in KINDS]
    return max((added.high for added in found if added is not None), default=1.0)
