"""Pages of any kind, for Hypothesis: pieces of markup, put together anyhow."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = st.sampled_from(
    [
        *(
            "<a href=",
            "<A HREF = ",
            "<area href=",
            "<iframe src=",
            "<form action=",
            "<form method=post action=",
            "<form>",
        ),
        *(
            "<base href=",
            "<meta http-equiv=refresh content=",
            "<meta charset=",
            "<button formaction=",
            "<input form=f ",
        ),
        *(
            '"',
            "'",
            ">",
            "/>",
            " ",
            "\n",
            "=",
            "/",
            "<",
            "</",
            "!",
            "?",
            "-",
            "--",
            "-->",
            "--!>",
            "<!--",
            "<!-->",
            "]]>",
        ),
        *("<![CDATA[", "<!doctype html>", "<script>", "</script>", "</script ", "<style>", "</style>", "<textarea>"),
        *(
            "</textarea>",
            "<title>",
            "</title>",
            "<svg>",
            "</svg>",
            "<math>",
            "<mi>",
            "<desc>",
            "<p>",
            "</p>",
            "</form>",
        ),
        *(
            "<template>",
            "</template>",
            "<noscript>",
            "</noscript>",
            "<plaintext>",
            "</a>",
            "<p class='x'>",
            '<p a="1">',
        ),
        *(
            " rel=nofollow",
            " data-no-session",
            " ping=x",
            " form=f",
            " href=",
            " method=post",
            "next",
            "/app/x",
            "/app/",
        ),
        *(
            "?a=1",
            "#f",
            "&amp;",
            "&",
            "&#47;",
            "&sol;",
            ";",
            "//",
            "//other.example.net/",
            "http://www.example.com/app/",
        ),
        *("\\", "..", ";jsessionid=old", "5; url=", "\0", "\x1b", "\xff\xfe", "é", "iso-2022-jp", "text ", "x"),
    ]
)
PAGES = st.lists(PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode("latin-1"))


def cuts(page: bytes) -> st.SearchStrategy[list[bytes]]:
    """Return a page in pieces."""
    places = st.lists(st.integers(0, len(page)), max_size=8).map(sorted)
    return places.map(lambda at: [page[a:b] for a, b in zip([0, *at], [*at, len(page)], strict=True)])
