"""Every option, once: its name, default, meaning and check."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from werkzeug.http import dump_cookie

from . import cipher
from .discovery import as_function
from .errors import ConfigError
from .nodelist import NodeConfig, NodeList, parse_nodes
from .requirements import matches, require, require_bool, require_int, require_list, require_seconds

MIN_SECRET_BYTES = 16
#: What `nodes` says when the in-process store is meant although several processes run.
MEMORY = "memory"

#: What crawlers have in their User-Agent (those of Tomcat's CrawlerSessionManagerValve, and their kin).
CRAWLERS = r"(?i)bot\b|crawl|spider|slurp|feedfetcher|mediapartners|facebookexternalhit|archiver"

_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_ROUTE = re.compile(r"[A-Za-z0-9_]{1,32}")
# RFC 6265 section 4.1.1: a cookie name is an RFC 7230 token.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIE_TEXT = re.compile(r"[\x20-\x3a\x3c-\x7e]*")
_PATH = re.compile(r"/.*")
_SERVER_NAME = re.compile(r"[A-Za-z0-9_.:-]{0,253}")
# memcached separates them by a blank, its file by a colon; its lines have room for 255 bytes (authfile.c).
_USERNAME = re.compile(r"[!-9;-~]{0,100}")
_PASSWORD = re.compile(r"[!-~]{0,150}")
_KEY_PREFIX = re.compile(r"[\x21-\x7e]{1,100}")


@dataclass(frozen=True, kw_only=True)
class CookieConfig:
    """How the session cookie is sent (RFC 6265bis).

    Raises:
        ConfigError: an attribute is malformed, or contradicts the name's `__Host-` or `__Secure-` prefix.
    """

    #: Name of the cookie.
    name: str = "JSESSIONID"
    #: Path attribute. None: the mount point of the application (SCRIPT_NAME, or "/").
    path: str | None = None
    #: Domain attribute. None: no attribute, so the cookie goes back to this host only.
    domain: str | None = None
    #: Secure attribute. "auto": exactly when the request came over https (see `trusted_proxies`).
    secure: bool | str = "auto"
    #: HttpOnly attribute: hides the cookie from JavaScript.
    httponly: bool = True
    #: SameSite attribute: "Lax", "Strict", "None" (needs Secure, which is then set) or None for no attribute.
    samesite: str | None = "Lax"
    #: Partitioned attribute (CHIPS); needs Secure, which is then set.
    partitioned: bool = False
    #: Seconds the browser keeps the cookie, prolonged by use. None: until the browser closes.
    max_age: int | None = None

    def __post_init__(self) -> None:
        require(
            matches(_TOKEN, self.name),
            "cookie_name",
            f"{self.name!r} is not a cookie name (RFC 6265 token)",
        )
        require(
            isinstance(self.secure, bool) or self.secure == "auto",
            "cookie_secure",
            f"{self.secure!r} is not True, False or 'auto'",
        )
        require(
            self.samesite in ("Lax", "Strict", "None", None),
            "cookie_samesite",
            f"{self.samesite!r} is not 'Lax', 'Strict', 'None' or None",
        )
        for name in ("path", "domain"):
            value = getattr(self, name)
            ok = value is None or (isinstance(value, str) and value != "" and _COOKIE_TEXT.fullmatch(value))
            require(
                bool(ok),
                f"cookie_{name}",
                f"{value!r} cannot stand in a cookie; write ASCII text without ';', or None",
            )
        require(_is_domain(self.domain), "cookie_domain", f"{self.domain!r} is not a domain name")
        require(
            self.path is None or self.path.startswith("/"),
            "cookie_path",
            f"{self.path!r} does not start with '/'",
        )
        require_seconds("cookie_max_age", self.max_age, optional=True)
        for name in ("httponly", "partitioned"):
            require_bool(f"cookie_{name}", getattr(self, name))
        self._apply_name_prefix()

    def _apply_name_prefix(self) -> None:
        if self.name.lower().startswith("__host-"):
            # RFC 6265bis 4.1.3.2: browsers refuse a __Host- cookie that is not Secure, has a Domain or another Path.
            require(self.domain is None, "cookie_domain", "a __Host- cookie has no domain; leave it None")
            require(self.path in (None, "/"), "cookie_path", "a __Host- cookie has the path '/'; leave it None")
            object.__setattr__(self, "path", "/")
        needs_secure = (
            self.partitioned or self.samesite == "None" or self.name.lower().startswith(("__host-", "__secure-"))
        )
        if needs_secure:
            require(
                self.secure is not False,
                "cookie_secure",
                "False contradicts a __Host- or __Secure- name, samesite='None' or partitioned; leave it 'auto'",
            )
            object.__setattr__(self, "secure", True)


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """Every option of the middleware. All times are in seconds.

    Raises:
        ConfigError: a value is wrong; the message names the option, the value (never a secret) and what is right.
    """

    #: memcached nodes: "n1:10.0.0.1:11211 n2:10.0.0.2", a list of such texts, or a callable that returns one and is
    #: asked from time to time; "dns:<name>:<port>": every address that the name has (`DnsNodes`).
    #: None: an in-process store for one process; "memory": the same, also where several processes run.
    nodes: NodeList | None = None
    #: Seconds between two questions to a callable in `nodes`.
    nodes_interval: int = 10
    #: Signs session ids and stored values; at least 16 bytes, the same on every application node.
    secret_key: str | bytes = field(default="", repr=False)
    #: Former keys: verify only. What they signed is re-issued under `secret_key`.
    secret_key_fallbacks: tuple[str | bytes, ...] = field(default=(), repr=False)
    #: Encrypt what memcached holds (AES-256-GCM); needs the extra `encrypt`. Reading takes both kinds.
    encrypt: bool = False
    #: Name of this application node, appended to the ids it issues (Tomcat's jvmRoute). "": no suffix.
    route: str = ""
    #: The balancer routes by the suffix: re-issue an id that arrives with another node's route.
    sticky: bool = False
    #: Copies of every session, on that many nodes (all, when there are fewer nodes).
    copies: int = 2
    #: Copies that must have taken a change before it is acknowledged.
    required_copies: int = 1
    #: Seconds without a request after which a session ends, at least 1. None: never.
    max_inactive_interval: int | None = 1800
    #: Seconds after its creation at which a session ends however active it is. None: no such limit.
    max_lifetime: int | None = None
    #: True: a request that does not touch the session prolongs it too, as in Tomcat (one memcached read each).
    slide_always: bool = False
    #: How ids travel: "cookie", "url" (`;jsessionid=`), "form" (a hidden POST field); each that is named is on.
    tracking: tuple[str, ...] = ("cookie",)
    #: Name of the path parameter and of the form field.
    parameter: str = "jsessionid"
    #: Put ids into the links and forms of HTML pages by itself, for clients that have shown no cookie.
    rewrite_html: bool = False
    #: Path prefixes (below the mount point) whose pages are not rewritten.
    rewrite_html_except: tuple[str, ...] = ()
    #: Regular expression of User-Agents that get no ids in URLs and forms: they would publish them. "": none.
    crawlers: str = CRAWLERS
    #: The session cookie.
    cookie: CookieConfig = field(default_factory=CookieConfig)
    #: How many proxies' X-Forwarded-Proto, -Host and -Prefix are believed.
    trusted_proxies: int = 0
    #: Start of every memcached key; part of every derived key, so two prefixes are two worlds.
    key_prefix: str = "sharedsession:"
    #: Seconds to wait for a connection to a node.
    connect_timeout: float = 0.25
    #: Seconds to wait for a node's answer.
    timeout: float = 0.5
    #: TLS to memcached: True, or an `ssl.SSLContext` of your own. Not on unix sockets.
    tls: bool | ssl.SSLContext = False
    #: PEM file of the authorities whose certificates memcached may have. "": those that the system trusts.
    tls_ca: str = ""
    #: PEM file of the certificate that this client shows. "": none.
    tls_certificate: str = ""
    #: PEM file of its private key, without a passphrase. "": it is in `tls_certificate`.
    tls_key: str = ""
    #: Name that memcached's certificates must have. "": the node's host name or IP address, as in `nodes`.
    tls_server_name: str = ""
    #: User name for memcached's ASCII authentication (`memcached -Y`). "": none.
    memcached_username: str = ""
    #: The password that belongs to it.
    memcached_password: str = field(default="", repr=False)
    #: "error": 503 while memcached is away. "empty": reads see an empty session, writes still raise.
    on_unavailable: str = "error"
    #: "writes": POST, PUT, PATCH and DELETE requests that use the session have it for themselves, one after the other.
    locking: str = "none"
    #: Seconds to wait for a session's lock before the answer is 503.
    lock_timeout: float = 10.0
    #: Live sessions that one principal (`session.principal`) may have. None: any number.
    max_sessions_per_principal: int | None = None
    #: What a log-in above that does: "end_oldest" ends the session with the oldest log-in, "refuse" fails.
    too_many_sessions: str = "end_oldest"
    #: Path prefixes (below the mount point) whose requests get no session.
    ignore_paths: tuple[str, ...] = ()
    #: Save the session also when the response's status is 5xx.
    save_on_5xx: bool = True
    #: Tells a session's client from others: a function of the WSGI environ that returns text, bytes or None (nothing),
    #: or its name, "package.module:function". An id that comes with another fingerprint is unknown to that request.
    fingerprint: Callable[[dict[str, Any]], str | bytes | None] | str | None = None
    #: Asked before a new session is stored: a function of the WSGI environ, or its name. False: nothing is stored.
    may_create: Callable[[dict[str, Any]], bool] | str | None = None

    def __post_init__(self) -> None:
        self._check_secrets()
        for name in ("secret_key_fallbacks", "ignore_paths", "rewrite_html_except", "tracking"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        self._check_numbers()
        self._check_texts()
        self._check_tls()
        self._check_memcached_user()
        for name in ("sticky", "slide_always", "save_on_5xx", "encrypt", "rewrite_html"):
            require_bool(name, getattr(self, name))
        require(
            not self.encrypt or cipher.INSTALLED,
            "encrypt",
            "needs the package cryptography; pip install 'sharedsession[encrypt]'",
        )
        if not isinstance(self.cookie, CookieConfig):
            raise ConfigError("cookie", f"expected a CookieConfig, not {type(self.cookie).__name__}")
        if self.nodes is not None:
            object.__setattr__(self, "nodes", as_function(self.nodes))
        # Parsed here so that a mistake in the list fails at start-up; a callable is asked for the first time.
        parsed = None if self.nodes in (None, MEMORY) else parse_nodes(self.nodes)
        require(
            self.required_copies <= len(parsed or (1,)),
            "required_copies",
            f"{self.required_copies} copies cannot be had from {len(parsed or (1,))} node(s)",
        )
        object.__setattr__(self, "_parsed_nodes", parsed)

    @property
    def memcached_nodes(self) -> tuple[NodeConfig, ...] | None:
        """The node list, parsed; None for the in-process store."""
        nodes: tuple[NodeConfig, ...] | None = self.__dict__["_parsed_nodes"]
        return nodes

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The signing key, then the fallbacks, as bytes."""
        return tuple(_as_bytes(key) for key in (self.secret_key, *self.secret_key_fallbacks))

    def _check_secrets(self) -> None:
        if not self.secret_key:
            raise ConfigError(
                "secret_key",
                "is required; python -c 'import secrets; print(secrets.token_hex(32))' makes one",
            )
        require_list("secret_key_fallbacks", self.secret_key_fallbacks, "keys")
        for option, key in [
            ("secret_key", self.secret_key),
            *(("secret_key_fallbacks", key) for key in self.secret_key_fallbacks),
        ]:
            require(isinstance(key, str | bytes), option, f"expected text or bytes, not {type(key).__name__}")
            require(
                len(_as_bytes(key)) >= MIN_SECRET_BYTES,
                option,
                f"has {len(_as_bytes(key))} bytes; at least {MIN_SECRET_BYTES} are needed (token_hex(32) gives 64)",
            )

    def _check_numbers(self) -> None:
        require_int("copies", self.copies, 1, 16)
        require_int("required_copies", self.required_copies, 1, self.copies, "at most `copies`")
        require_int("trusted_proxies", self.trusted_proxies, 0, 32)
        if self.max_sessions_per_principal is not None:
            require_int("max_sessions_per_principal", self.max_sessions_per_principal, 1, 1000, "or None")
        require_seconds("nodes_interval", self.nodes_interval, optional=False)
        require_seconds("max_inactive_interval", self.max_inactive_interval, optional=True)
        require_seconds("max_lifetime", self.max_lifetime, optional=True)
        for name in ("connect_timeout", "timeout", "lock_timeout"):
            value = getattr(self, name)
            ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 60
            require(ok, name, f"{value!r} is not a number of seconds above 0 and at most 60")

    def _check_texts(self) -> None:
        require(
            self.route == "" or matches(_ROUTE, self.route),
            "route",
            f"{self.route!r} is not 1 to 32 letters, digits or '_' (balancers cut at '.', '-' and '~')",
        )
        require(
            not self.sticky or self.route != "",
            "route",
            "sticky=True needs the name of this application node in `route`",
        )
        problem = f"{self.key_prefix!r} is not 1 to 100 printable ASCII characters without blanks"
        require(matches(_KEY_PREFIX, self.key_prefix), "key_prefix", problem)
        require(
            self.on_unavailable in ("error", "empty"),
            "on_unavailable",
            f"{self.on_unavailable!r} is not 'error' or 'empty'",
        )
        require(
            self.too_many_sessions in ("end_oldest", "refuse"),
            "too_many_sessions",
            f"{self.too_many_sessions!r} is not 'end_oldest' or 'refuse'",
        )
        require(self.locking in ("none", "writes"), "locking", f"{self.locking!r} is not 'none' or 'writes'")
        self._check_tracking()
        for name in ("ignore_paths", "rewrite_html_except"):
            require_list(name, getattr(self, name), "path prefixes")
            for path in getattr(self, name):
                require(matches(_PATH, path), name, f"{path!r} does not start with '/'")

    def _check_tls(self) -> None:
        own = isinstance(self.tls, ssl.SSLContext) and self.tls.protocol != ssl.PROTOCOL_TLS_SERVER
        require(isinstance(self.tls, bool) or own, "tls", "expected True, False or a client's ssl.SSLContext")
        for name in ("tls_ca", "tls_certificate", "tls_key"):
            value = getattr(self, name)
            # The value is not shown: it may be a private key.
            is_path = isinstance(value, str) and "\n" not in value and "-----" not in value
            require(is_path, name, "expected the path of a PEM file; not its text, nor anything else")
            require(not (value and own), name, "goes with tls=True; an SSLContext has certificates of its own")
            require(value == "" or self.tls is True, name, "means nothing without tls=True")
        require(self.tls_key == "" or self.tls_certificate != "", "tls_key", "belongs to a tls_certificate")
        require(matches(_SERVER_NAME, self.tls_server_name), "tls_server_name", "is not a host name or IP address")
        require(self.tls_server_name == "" or bool(self.tls), "tls_server_name", "means nothing without tls=True")

    def _check_memcached_user(self) -> None:
        user, password = self.memcached_username, self.memcached_password
        printable = "printable ASCII characters without blanks"
        require(matches(_USERNAME, user), "memcached_username", f"is not up to 100 {printable} and ':'")
        require(matches(_PASSWORD, password), "memcached_password", f"is not up to 150 {printable}")
        require(user == "" or password != "", "memcached_password", "is missing; there is a memcached_username")
        require(password == "" or user != "", "memcached_username", "is missing; there is a memcached_password")

    def _check_tracking(self) -> None:
        require_list("tracking", self.tracking, "'cookie', 'url' and 'form'")
        known = ["cookie", "url", "form"]
        require(
            bool(self.tracking) and all(kind in known for kind in self.tracking),
            "tracking",
            f"{self.tracking!r} is not a choice of 'cookie', 'url' and 'form'",
        )
        carries = not {"url", "form"}.isdisjoint(self.tracking)
        require(carries or not self.rewrite_html, "rewrite_html", "needs 'url' or 'form', or both, in `tracking`")
        require(
            matches(_PARAMETER, self.parameter),
            "parameter",
            f"{self.parameter!r} is not a letter and up to 31 letters, digits, '_' or '-'",
        )
        require(isinstance(self.crawlers, str), "crawlers", f"{self.crawlers!r} is not text")
        try:
            re.compile(self.crawlers)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError("crawlers", f"{self.crawlers!r} is not a regular expression: {error}") from error


def _is_domain(domain: str | None) -> bool:
    try:
        dump_cookie("name", domain=domain)
    except UnicodeError:  # what the idna codec raises for an empty or over-long label
        return False
    return True


def _as_bytes(key: str | bytes) -> bytes:
    # os.environ gives bytes that are not UTF-8 as lone surrogates.
    return key.encode(errors="surrogatepass") if isinstance(key, str) else key
