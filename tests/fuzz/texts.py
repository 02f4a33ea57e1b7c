"""Texts: session ids, node lists, settings, and the signed cookies that Flask kept its sessions in."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Hashable, Sequence
from typing import Any

from itsdangerous import BadSignature
from signedcookies import OWN, cookie, node
from webclient import SECRET

from sharedsession import ConfigError
from sharedsession.dialogue import FormerSession
from sharedsession.discovery import DnsNodes, as_function
from sharedsession.flaskcookies import SignedCookies
from sharedsession.ids import BadId, IdFactory
from sharedsession.nodelist import NodeConfig, parse_nodes
from sharedsession.settings import all_options, build_config, read_environment

from . import site
from .target import Target

# -- ids -----------------------------------------------------------------------------------------------------------


class Ids:
    """Session ids: one is read exactly when it is well signed."""

    def __init__(self) -> None:
        self._ids = IdFactory((SECRET.encode(), site.FORMER.encode()), site.PREFIX, "web1")

    def __call__(self, data: bytes) -> Hashable:
        """Parse one."""
        text = data.decode("utf-8", "surrogateescape")
        parsed, token = self._ids.parse(text), site.token_of(text)
        if token is None:
            assert isinstance(parsed, BadId), "a text that nobody signed is an id"
            return parsed.value
        assert not isinstance(parsed, BadId), "a well-signed id is none"
        assert (parsed.text, parsed.token, parsed.key) == (text, token, site.key_of(token))
        assert parsed.outdated == (parsed.mac != site.mac(SECRET, token))
        return parsed.outdated, len(parsed.route)


def ids() -> Target:
    """Session ids."""
    seeds = [text.encode() for text in site.IDS.values()]
    seeds += [text + b".web1" for text in seeds]
    words = (b".", b".web1", b"_", b"0", b"f", b"A", b"\n", b" ", b"\0", b"\xd9\xa1", b"\xef\xbc\x90", b"-", b"w" * 32)
    halves = tuple(part for text in seeds[:4] for part in (text[:32], text[32:64]))
    return Target(Ids(), tuple(seeds), (*words, *halves, *seeds), longest=400)


# -- nodes ---------------------------------------------------------------------------------------------------------


_NODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Nodes:
    """Node lists: nodes that can be told apart and reached, or a ConfigError. Lines are entries of a list."""

    def __call__(self, data: bytes) -> Hashable:
        """Read it as one text and as a list of texts; with `dns:`, ask a name server that answers with the input."""
        text = data.decode("utf-8", "surrogateescape")
        return self._read(text, data), self._read(text.split("\n"), data)

    def _read(self, nodes: str | list[str], data: bytes) -> Hashable:
        try:
            function = as_function(nodes)
            if isinstance(function, DnsNodes):
                function._resolve = _Resolver(data)
            found = parse_nodes(function)
        except ConfigError as error:
            return error.option, _problem(error)
        assert len({node.name for node in found}) == len({node.address for node in found}) == len(found) > 0
        assert all(1 <= node.weight <= 100 and _NODE_NAME.fullmatch(node.name) for node in found)
        assert all(isinstance(node.address, str) or 0 < node.address[1] < 65536 for node in found)
        assert parse_nodes([_text(node) for node in found]) == found, "a node that is another when it is written again"
        return isinstance(function, DnsNodes), len(found)


class _Resolver:
    """Answers with addresses made of some bytes."""

    def __init__(self, data: bytes) -> None:
        digest = hashlib.sha256(data).digest()
        self._count = digest[0] % 4
        self._digest = digest

    def __call__(self, host: str, port: int, *, family: Any, **_: Any) -> Sequence[tuple[Any, ...]]:
        """Look up, as `socket.getaddrinfo`; a name that is none for it is none here."""
        host.encode("idna")
        size = 4 if family == socket.AF_INET else 16
        if self._digest[1] % 3 == 0 and size == 4:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        texts = [socket.inet_ntop(family, self._digest[number : number + size]) for number in range(self._count)]
        return [(family, socket.SOCK_STREAM, 6, "", (text, port)) for text in texts]


def _problem(error: ConfigError) -> str:
    """Return what an error says, without the values it names."""
    return re.sub(r"(?s)['\"].*['\"]|\S+=\S*|[^a-z ]", "", str(error))[:40]


def _text(node: NodeConfig) -> str:
    options = f"?weight={node.weight}" + (f"&zone={node.zone}" if node.zone else "")
    if isinstance(node.address, str):
        return f"{node.name}:unix:{node.address}{options}"
    host, port = node.address
    return f"{node.name}:{f'[{host}]' if ':' in host else host}:{port}{options}"


def nodes() -> Target:
    """Node lists."""
    seeds = (
        b"n1:192.168.0.19:11211 n2:[::1] n3:unix:/run/mc.sock?weight=2&zone=a",
        b"n1:localhost,n2:h.example.:65535",
        b"n1:[fe80::1%eth0]:1",
        b"dns:memcached.default.svc.cluster.local:11211",
        b"dns:h",
        b"n1:10.0.0.1\nn2:10.0.0.2?weight=100",
    )
    words = (
        b"n1",
        b"n2:",
        b":",
        b",",
        b" ",
        b"\n",
        b"[",
        b"]",
        b"::1",
        b"?weight=",
        b"&zone=",
        b"?",
        b"dns:",
        b"unix:/",
    )
    odd = (
        b"%",
        b"%20",
        b"-",
        b".",
        b"_",
        b"a" * 64,
        b"11211",
        b"0",
        b"65536",
        b"\xd9\xa1",
        b"\xc2\xa0",
        b";",
        b"=",
        b"a",
    )
    return Target(Nodes(), seeds, (*words, *odd), longest=600)


# -- settings ------------------------------------------------------------------------------------------------------


class Settings:
    """Environment variables, `NAME=text` a line: a configuration, or a ConfigError that does not show a secret."""

    def __call__(self, data: bytes) -> Hashable:
        """Read them."""
        pairs = (line.partition("=") for line in data.decode("utf-8", "surrogateescape").split("\n"))
        environ = {f"SHAREDSESSION_{name}": text.replace("\0", "") for name, _, text in pairs}
        try:
            config = build_config(read_environment(environ), {"secret_key": SECRET})
        except ConfigError as error:
            self._check_discretion(str(error), environ)
            return error.option, _problem(error)
        assert SECRET not in repr(config)
        return len(environ), config.memcached_nodes is None

    @staticmethod
    def _check_discretion(message: str, environ: dict[str, str]) -> None:
        secrets = ("SHAREDSESSION_SECRET_KEY", "SHAREDSESSION_SECRET_KEY_FALLBACKS")
        told = [text for name, text in environ.items() if name not in secrets]
        for name in secrets:
            secret = environ.get(name, "")
            shown = len(secret) >= 12 and secret in message
            # Whoever gives another option the secret's text has told it.
            assert not shown or any(secret in text for text in told), "an error shows a secret"


def settings() -> Target:
    """Settings in the environment."""
    options = [option.upper().encode() for option in all_options() if option != "nodes"]
    seeds = [
        b"SECRET_KEY=0123456789abcdef0123456789abcdef\nSECRET_KEY_FALLBACKS=a b, c\nROUTE=web1\nSTICKY=yes\nCOPIES=3",
        b"COOKIE_NAME=__Host-x\nCOOKIE_SECURE=auto\nCOOKIE_SAMESITE=none\nCOOKIE_MAX_AGE=60\nCOOKIE_DOMAIN=a.example",
        b"MAX_INACTIVE_INTERVAL=none\nTRACKING=cookie,url form\nCRAWLERS=(?i)bot\\b|x{2,3}\nTIMEOUT=1e-3",
        b"NODES=n1:10.0.0.1:11211 n2:10.0.0.2\nREQUIRED_COPIES=2\nKEY_PREFIX=x:\nIGNORE_PATHS=/static,/health",
        b"NODES=memory",
    ]
    words = (
        b"\n",
        b"=",
        b"none",
        b"true",
        b"off",
        b"1",
        b"-1",
        b"1e999",
        b"nan",
        b"1_0",
        b"9" * 50,
        b"x",
        b"/",
        b" ",
        b",",
    )
    odd = (
        b"(",
        b"[",
        b"{99999999999}",
        b"(?i)",
        b"\\",
        b"*",
        b"\xd9\xa1",
        b"\xff",
        b"__Host-",
        b"__Secure-",
        b"Lax",
        b".",
    )
    return Target(
        Settings(), tuple(seeds), (*words, *odd, *options, *(option + b"=" for option in options)), longest=1000
    )


# -- Flask's former sessions ---------------------------------------------------------------------------------------


class FormerCookies:
    """Cookies that Flask has signed: a session is taken over exactly when Flask itself wrote it."""

    def __init__(self) -> None:
        self._app = node()
        self._cookies = SignedCookies(self._app, None, OWN, _half_an_hour, "JSESSIONID")
        serializer = self._cookies._interface.get_signing_serializer(self._app)
        assert serializer is not None
        self._serializer = serializer

    def __call__(self, data: bytes) -> Hashable:
        """Look for a session in a Cookie header."""
        header = data.translate(None, b"\r\n\0").decode("latin-1")
        found = self._cookies.find(header)
        if found is None:
            return min(header.count("session="), 4), min(header.count("."), 4), min(header.count("-"), 4)
        assert isinstance(found, FormerSession)
        assert self._signed(found.signed, header), "a session that Flask did not sign"
        assert any(found.attributes.get(name) for name in OWN)
        return "found", len(found.attributes)

    def _signed(self, signed: str, header: str) -> bool:
        begin = header.replace("\\", "").find(signed + ".")
        if begin < 0:
            return False
        mac = re.split(r'[;", \t]', header.replace("\\", "")[begin + len(signed) + 1 :])[0]
        try:
            self._serializer.loads(f"{signed}.{mac}")
        except BadSignature:
            return False
        return True


def _half_an_hour(*, permanent: bool) -> int | None:
    return 1800


def former_cookies() -> Target:
    """Flask's signed cookies."""
    genuine = [
        cookie({"_user_id": "ann", "cart": ["tea"]}),
        cookie({"_user_id": "ann", "text": "a" * 2000}),  # compressed
        cookie({"visits": 3}),
        cookie({"_user_id": "eve"}, secret="a secret that is not ours"),
    ]
    seeds = [b"session=" + text.encode() for text in genuine]
    parts = [part.encode() for text in genuine for part in text.split(".") if part]
    words = (
        b"session=",
        b"session",
        b"; ",
        b";",
        b".",
        b"=",
        b'"',
        b"\\",
        b"\\073",
        b"-",
        b"_",
        b"eJw",
        b"e30",
        b" ",
        b"\xff",
    )
    return Target(FormerCookies(), (*seeds, b"; ".join(seeds)), (*words, *parts))
