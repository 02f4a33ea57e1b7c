"""What `encode_url` makes of links: (link, what it becomes, a remark), by the page on which they stand.

"*" is the parameter with the id, "=" an unchanged link. The rules were compared with what Tomcat 10.1 answers; a remark
that begins with "Tomcat:" says what it does otherwise, and why this does not.
"""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """Where a link stands."""

    mount: str
    #: Path and query of the request, as the client sends them.
    target: str
    host: str = "www.example.com"
    scheme: str = "http"


Link = tuple[str, str, str]

APP = Page("/app", "/app/d1/d2/encode?q=1")
ROOT = Page("", "/encode")

#: On every page, whatever the mount point.
ANYWHERE: list[Link] = [
    ("page", "page*", ""),
    ("sub/page", "sub/page*", ""),
    ("./page", "./page*", ""),
    ("./", "./*", ""),
    (".", ".*", "the middleware reads the dot behind which the id stands"),
    ("%2e", "%2e*", ""),
    ("page#f", "page*#f", ""),
    ("page?", "page*?", ""),
    ("page?#", "page*?#", ""),
    ("page?a=b&c=d#f?g", "page*?a=b&c=d#f?g", ""),
    ("page?to=/../x", "page*?to=/../x", ""),
    ("page?to=http://other.example.net/", "page*?to=http://other.example.net/", ""),
    ("page?jsessionid=zzz", "page*?jsessionid=zzz", "a query parameter means nothing"),
    ("page?a;jsessionid=OLD", "page*?a;jsessionid=OLD", ""),
    ("page#;jsessionid=OLD", "page*#;jsessionid=OLD", ""),
    (";", ";*", ""),
    (";v=1", ";v=1*", ""),
    ("page;v=1", "page;v=1*", ""),
    ("page%3Bv=1", "page%3Bv=1*", ""),
    ("page;xjsessionid=x", "page;xjsessionid=x*", ""),
    ("page;jsessionidx=x", "page;jsessionidx=x*", ""),
    ("page%253Bjsessionid=x", "page%253Bjsessionid=x*", "encoded twice: a name like any other"),
    ("page*", "=", ""),
    ("page*?a=b#f", "=", ""),
    ("page*;v=1", "=", ""),
    (";v=1*", "=", ""),
    ("*", "=", ""),
    ("page;jsessionid=OLD", "page*", "Tomcat: appends a second id"),
    ("page;jsessionid=", "page*", ""),
    ("page;jsessionid=OLD;v=1", "page;v=1*", "Tomcat: appends a second id"),
    ("page;jsessionid=OLD/x", "page/x*", "Tomcat: appends a second id"),
    ("page;jsessionid=OLD*", "page*", ""),
    ("page*;jsessionid=OLD", "page*", "Tomcat: leaves it, and then reads the last, stale one"),
    ("page*/x", "page/x*", "an id belongs to the end, where no dispatcher trips over it"),
    ("page%3Bjsessionid=OLD", "page*", ""),
    ("page%3Bjsessionid%3DOLD", "page*", ""),
    ("page%3bjsess%69onid%3dOLD", "page*", ""),
    (";jsessionid=OLD", "*", ""),
    (";jsessionid=OLD/x", ".//x*", "never an absolute path"),
    (";jsessionid=OLD//evil.example.net", ".///evil.example.net*", "never another host"),
    ("é", "é*", ""),
    ("p%20x", "p%20x*", ""),
    ("p%ff%00", "p%ff%00*", ""),
    ("%", "%*", ""),
    ("a%2", "a%2*", ""),
    ('a"<>|{}^`b', 'a"<>|{}^`b*', "no URL, but browsers know what it means"),
    ("1:b", "1:b*", "no scheme begins with a digit"),
    ("./a:b", "./a:b*", ""),
    ("x//y", "x//y*", ""),
    ("?a[b]=c", "{here}*?a[b]=c", "Tomcat: loses the session"),
    ("?", "{here}*?", ""),
    ("?#", "{here}*?#", ""),
    ("?to=//x/../y", "{here}*?to=//x/../y", ""),
    ("", "{here}*{query}", "Tomcat: leads to the directory"),
    ("#f", "{here}*{query}#f", "Tomcat: loses the session"),
    ("#", "{here}*{query}#", "Tomcat: loses the session"),
    ("#f?x", "{here}*{query}#f?x", "Tomcat: loses the session"),
    # Elsewhere, or nowhere.
    ("a:b", "=", ""),
    ("mailto:a@example.com", "=", ""),
    ("JavaScript:alert(1)", "=", ""),
    ("data:text/html,x", "=", ""),
    ("about:blank", "=", ""),
    ("urn:isbn:123", "=", ""),
    ("blob:http://www.example.com/x", "=", ""),
    ("http:page", "=", ""),
    ("http:/app/page", "=", ""),
    ("http:///app/page", "=", ""),
    ("http://", "=", ""),
    ("//", "=", ""),
    ("//?x", "=", ""),
    ("///app/page", "=", ""),
    ("//evil.example.net", "=", ""),
    ("//evil.example.net/app/page", "=", ""),
    ("//@/app/page", "=", ""),
    ("//:80/app/page", "=", ""),
    ("file:///app/page", "=", ""),
    ("ftp://www.example.com/app/page", "=", ""),
    ("https://www.example.com/app/page", "=", ""),
    ("https://www.example.com:80/app/page", "=", ""),
    ("ws://www.example.com/app/page", "=", ""),
    ("http://www.example.com:8080/app/page", "=", ""),
    ("http://www.example.com:443/app/page", "=", ""),
    ("http://www.example.com:0/app/page", "=", ""),
    ("http://www.example.com:99999/app/page", "=", ""),
    ("http://www.example.com:x/app/page", "=", ""),
    ("http://www.example.com./app/page", "=", ""),
    ("http://example.com/app/page", "=", ""),
    ("http://www.example.com.evil.net/app/page", "=", ""),
    ("http://www.example.com@evil.net/app/page", "=", ""),
    ("http://evil.net#@www.example.com/app/page", "=", ""),
    ("http://evil.net?@www.example.com/app/page", "=", ""),
    ("http://www.example.com;jsessionid=OLD/app/page", "=", ""),
    ("http://www\u3002example\u3002com/app/page", "=", ""),
    ("http://evil.net\uff0f@www.example.com/app/page", "=", "no host has a full-width slash"),
    ("http://[::1]/app/page", "=", ""),
    ("http://[::1/app/page", "=", ""),
    # What browsers drop or read as a slash.
    (" ", "=", ""),
    (" page", "=", ""),
    ("/app/page x", "=", ""),
    ("/app/page?a b", "=", ""),
    ("/app\\page", "=", ""),
    ("\\\\evil.example.net", "=", ""),
    ("/\\evil.example.net", "=", ""),
    ("/\t/evil.example.net", "=", ""),
    ("java\tscript:alert(1)", "=", ""),
    ("/app/pa\nge", "=", ""),
    ("/app/page\r\nSet-Cookie: a=b", "=", ""),
    ("/app/pa\0ge", "=", ""),
    ("/app/pa\x7fge", "=", ""),
]

#: On a page of an application below /app.
BELOW_APP: list[Link] = [
    ("/app", "/app*", ""),
    ("/app/", "/app/*", ""),
    ("/app#f", "/app*#f", ""),
    ("/app?x", "/app*?x", ""),
    ("/app/page", "/app/page*", ""),
    ("/app;v=1", "/app;v=1*", ""),
    ("/app;v=1/page", "/app;v=1/page*", ""),
    ("/app;jsessionid=OLD/page", "/app/page*", "Tomcat: appends a second id"),
    ("/app*/page", "/app/page*", "Tomcat: leaves it, but no WSGI dispatcher knows that mount point"),
    ("/%61pp/page", "/%61pp/page*", "the same place, though spelled in another way"),
    ("/app/../app/page", "/app/../app/page*", ""),
    ("/app/x/..", "/app/x/..*", ""),
    ("/app/x/%2E.", "/app/x/%2E.*", ""),
    ("/app/...", "/app/...*", ""),
    ("/app/..;v=1/page", "/app/..;v=1/page*", "no dot segment"),
    ("/app/..%2fpage", "/app/..%2fpage*", "no dot segment"),
    ("/app/x/..;jsessionid=OLD/page", "/app/x/../page*", ""),
    ("/../app/page", "/../app/page*", ""),
    ("..", "..*", ""),
    ("../", "../*", ""),
    ("../..", "../..*", ""),
    ("../../", "../../*", ""),
    ("../../page", "../../page*", ""),
    ("../../app/page", "../../app/page*", ""),
    ("../../../app/page", "../../../app/page*", ""),
    ("../../../../../app/page", "../../../../../app/page*", "Tomcat: throws above the root"),
    ("%2e%2e/page", "%2e%2e/page*", ""),
    ("http://www.example.com/app", "http://www.example.com/app*", ""),
    ("http://www.example.com/app/page#f", "http://www.example.com/app/page*#f", ""),
    ("http://www.example.com:80/app/page", "http://www.example.com:80/app/page*", ""),
    ("http://www.example.com:/app/page", "http://www.example.com:/app/page*", ""),
    ("http://WWW.EXAMPLE.COM/app/page", "http://WWW.EXAMPLE.COM/app/page*", ""),
    ("HTTP://www.example.com/app/page", "HTTP://www.example.com/app/page*", ""),
    ("http://user:pw@www.example.com/app/page", "http://user:pw@www.example.com/app/page*", ""),
    ("//www.example.com/app/page?x#f", "//www.example.com/app/page*?x#f", ""),
    ("http://www.example.com/app/page;jsessionid=OLD", "http://www.example.com/app/page*", "Tomcat: a second id"),
    ("http://www.example.com/app/page*", "=", ""),
    # Outside of the mount point.
    ("/", "=", ""),
    ("/application", "=", ""),
    ("/application;jsessionid=OLD", "=", ""),
    ("/app-x/page", "=", ""),
    ("/a/page", "=", ""),
    ("/APP/page", "=", ""),
    ("/app%2Fpage", "=", "an escaped slash begins no segment"),
    ("/app%3Fpage", "=", ""),
    ("//app/page", "=", ""),
    ("/app/..", "=", ""),
    ("/app/../", "=", ""),
    ("/app/../page", "=", ""),
    ("/app/%2e%2e/page", "=", ""),
    ("/app/.%2E/page", "=", ""),
    ("/app/x/../../page", "=", ""),
    ("/app/..;jsessionid=OLD/page", "=", "without the stale id it leads out"),
    ("../../..", "=", ""),
    ("../../../page", "=", ""),
    ("../../../../page", "=", ""),
    ("http://www.example.com", "=", ""),
    ("http://www.example.com/", "=", ""),
    ("http://www.example.com#f", "=", ""),
    ("http://www.example.com/apple/page", "=", ""),
    ("http://www.example.com/app/../page", "=", ""),
]

#: On a page of an application that has the whole host.
AT_ROOT: list[Link] = [
    ("/", "/*", ""),
    ("/page", "/page*", ""),
    ("/application", "/application*", ""),
    ("/x/../../page", "/x/../../page*", ""),
    ("/..", "/..*", ""),
    ("../../page", "../../page*", "Tomcat: throws above the root"),
    ("http://www.example.com", "http://www.example.com/*", "Tomcat: the id becomes part of the host"),
    ("http://www.example.com#f", "http://www.example.com/*#f", "Tomcat: the id becomes part of the host"),
    ("http://www.example.com?x", "http://www.example.com/*?x", "Tomcat: the id becomes part of the host"),
    ("//www.example.com", "//www.example.com/*", "Tomcat: the id becomes part of the host"),
    ("http://www.example.com//page", "http://www.example.com//page*", ""),
    ("/;jsessionid=OLD/evil.example.net", "/.//evil.example.net*", "never another host"),
    ("/%3Bjsessionid=OLD/evil.example.net", "/.//evil.example.net*", "never another host"),
    ("/.;jsessionid=OLD//evil.example.net", "/.//evil.example.net*", ""),
    ("http://www.example.com/;jsessionid=OLD/x", "http://www.example.com//x*", ""),
]

#: Pages of other kinds, with links that show the difference.
ELSEWHERE: list[tuple[Page, list[Link]]] = [
    (
        Page("/app", "/app"),
        [("", "/app*", ""), ("page", "=", "leads to /page"), ("app/page", "app/page*", ""), (".", "=", "")],
    ),
    (Page("/app", "/app/"), [("", "/app/*", ""), ("page", "page*", ""), (".", ".*", ""), ("..", "=", "")]),
    (Page("/a/b", "/a/b/c"), [("/a/b/x", "/a/b/x*", ""), ("/a/x", "=", ""), ("/b/x", "=", ""), ("..", "=", "")]),
    (
        Page("/app/", "/app//x"),
        [("/app/page", "/app/page*", ""), ("/app", "/app*", ""), ("/application", "=", ""), ("page", "page*", "")],
    ),
    (
        Page("/caf\xc3\xa9", "/caf%C3%A9/x"),
        [
            ("/caf%C3%A9/page", "/caf%C3%A9/page*", ""),
            ("/caf%c3%a9/page", "/caf%c3%a9/page*", ""),
            ("/café/page", "/café/page*", ""),
            ("/cafe/page", "=", ""),
            ("/caf%C3/page", "=", ""),
            ("/caf%E9/page", "=", ""),
            ("", "/caf%C3%A9/x*", ""),
        ],
    ),
    (Page("/\xff", "/%FF/x"), [("/%ff/page", "/%ff/page*", ""), ("/%fe/page", "=", ""), ("/\ufffd/page", "=", "")]),
    (
        Page("/a b", "/a%20b/x"),
        [("/a%20b/page", "/a%20b/page*", ""), ("/a+b/page", "=", ""), ("?q", "/a%20b/x*?q", "")],
    ),
    (Page("/100%", "/100%25/x"), [("/100%25/page", "/100%25/page*", ""), ("", "/100%25/x*", "")]),
    (Page("", "/p%3Fq%23;v=1/%5C"), [("?x", "/p%3Fq%23;v=1/%5C*?x", ""), ("", "/p%3Fq%23;v=1/%5C*", "")]),
    (
        Page("", "//evil.example.net/x?q"),
        [("", "/.//evil.example.net/x*?q", "never another host"), ("#f", "/.//evil.example.net/x*?q#f", "")],
    ),
    (
        Page("/app", "/app/x", "[::1]:8000"),
        [
            ("http://[::1]:8000/app/page", "http://[::1]:8000/app/page*", ""),
            ("http://[::1]/app/page", "=", ""),
            ("http://[::2]:8000/app/page", "=", ""),
        ],
    ),
    (
        Page("/app", "/app/x", "www.example.com:443", "https"),
        [
            ("https://www.example.com/app/page", "https://www.example.com/app/page*", ""),
            ("https://www.example.com:443/app/page", "https://www.example.com:443/app/page*", ""),
            ("//www.example.com/app/page", "//www.example.com/app/page*", ""),
            ("http://www.example.com/app/page", "=", ""),
            ("http://www.example.com:443/app/page", "=", ""),
            ("https://www.example.com:80/app/page", "=", ""),
        ],
    ),
    (
        Page("/app", "/app/x", "WWW.Example.COM:8080"),
        [
            ("http://www.example.com:8080/app/page", "http://www.example.com:8080/app/page*", ""),
            ("http://www.example.com/app/page", "=", ""),
        ],
    ),
    *[
        (Page("/app", "/app/x", host), [("http://www.example.com/app/page", "=", "a Host header that is none")])
        for host in ("[", "a:b:c", "www.example.com:x", "www.example.com\\", "/", "@", "?", "www.example.com:99999")
    ],
]

ALL_LINKS: list[tuple[Page, Link]] = [
    *((APP, link) for link in ANYWHERE + BELOW_APP),
    *((ROOT, link) for link in ANYWHERE + AT_ROOT if "/app" not in link[0]),
    *((page, link) for page, links in ELSEWHERE for link in links),
]
