"""Options: what is accepted, how each can be spelled, and mistakes that are named without showing a secret."""

from __future__ import annotations

import dataclasses
import traceback
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.config import CookieConfig, SessionConfig
from sharedsession.errors import ConfigError
from sharedsession.nodelist import NodeConfig
from sharedsession.requirements import MAX_SECONDS
from sharedsession.settings import all_options, build_config, read_environment

SECRET = "correct horse battery staple"

OPTIONS = {
    "nodes", "secret_key", "secret_key_fallbacks", "route", "sticky", "copies", "required_copies",
    "max_inactive_interval", "max_lifetime", "slide_always", "trusted_proxies", "key_prefix", "connect_timeout",
    "timeout", "on_unavailable", "ignore_paths", "save_on_5xx", "cookie_name", "cookie_path", "cookie_domain",
    "tracking", "parameter", "crawlers", "cookie_secure", "cookie_httponly", "cookie_samesite", "cookie_partitioned",
    "cookie_max_age",
}  # fmt: skip


def build(**options: Any) -> SessionConfig:
    return build_config({"secret_key": SECRET, **options})


def refused(**options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        build(**options)
    return caught.value


# -- values --------------------------------------------------------------------------------------------------------


def test_defaults_are_the_documented_ones() -> None:
    """With nothing but a secret, every option has the value that the documentation gives as its default."""
    config = build()
    shown = {item.name: getattr(config, item.name) for item in dataclasses.fields(config) if item.name != "cookie"}
    wanted = {
        "nodes": None,
        "secret_key": SECRET,
        "secret_key_fallbacks": (),
        "route": "",
        "sticky": False,
        "copies": 2,
        "required_copies": 1,
        "max_inactive_interval": 1800,
        "max_lifetime": None,
        "slide_always": False,
        "tracking": ("cookie",),
        "parameter": "jsessionid",
        "trusted_proxies": 0,
        "key_prefix": "sharedsession:",
        "connect_timeout": 0.25,
        "timeout": 0.5,
        "on_unavailable": "error",
        "ignore_paths": (),
        "save_on_5xx": True,
    }
    assert {name: shown[name] for name in wanted} == wanted
    assert config.cookie == CookieConfig(
        name="JSESSIONID",
        path=None,
        domain=None,
        secure="auto",
        httponly=True,
        samesite="Lax",
        partitioned=False,
        max_age=None,
    )
    assert config.memcached_nodes is None


def test_no_option_is_ever_lost() -> None:
    """Every option there was is still one: a configuration that worked goes on working."""
    assert set(all_options()) >= OPTIONS


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("secret_key", ["x" * 16, b"x" * 16, "\xe9" * 8, "x" * 1000]),
        ("secret_key_fallbacks", [(), [], ["x" * 16], (b"x" * 16, "y" * 16)]),
        ("nodes", [None, "memory", "n1:h", ["n1:h"], ("n1:h", "n2:h2"), lambda: "n1:h"]),
        ("route", ["", "web1", "A_9", "r" * 32]),
        ("sticky", [False]),
        ("copies", [1, 2, 16]),
        ("required_copies", [1]),
        ("max_inactive_interval", [1, 1800, MAX_SECONDS, None]),
        ("max_lifetime", [1, MAX_SECONDS, None]),
        ("slide_always", [True, False]),
        ("tracking", [("cookie",), ["cookie", "url", "form"], ("url",)]),
        ("parameter", ["jsessionid", "s", "A-b_9"]),
        ("crawlers", ["", "bot", r"(?i)spider|crawl"]),
        ("trusted_proxies", [0, 1, 32]),
        ("key_prefix", ["a", "x:y/", "~" * 100]),
        ("connect_timeout", [0.001, 1, 60]),
        ("timeout", [0.001, 1, 60.0]),
        ("on_unavailable", ["error", "empty"]),
        ("ignore_paths", [(), [], ["/static"], ("/a", "/b/")]),
        ("save_on_5xx", [True, False]),
        ("cookie_name", ["sid", "a-b.c_d", "!#$%&'*+^`|~"]),
        ("cookie_path", [None, "/", "/app", "/a b"]),
        ("cookie_domain", [None, "example.com", ".example.com"]),
        ("cookie_secure", [True, False, "auto"]),
        ("cookie_httponly", [True, False]),
        ("cookie_samesite", ["Lax", "Strict", "None", None]),
        ("cookie_partitioned", [True, False]),
        ("cookie_max_age", [None, 1, MAX_SECONDS]),
    ],
)
def test_good_values_are_accepted(option: str, values: list[Any]) -> None:
    """Every value that the documentation allows is taken as it is."""
    for value in values:
        config = build(**{option: value})
        target = config.cookie if option.startswith("cookie_") else config
        stored = getattr(target, option.removeprefix("cookie_"))
        assert stored == (tuple(value) if isinstance(value, list) and option != "nodes" else value)


BAD: list[tuple[str, list[Any]]] = [
    ("nodes", [5, "", [], "h:1", b"n1:h", {"n1": "h"}]),
    ("route", ["a.b", "a-b", "a~b", "r" * 33, "\xe9", "a b", "a\n", 5, None, b"web1"]),
    ("sticky", [None, 1, "yes"]),
    ("copies", [0, 17, -1, True, 1.0, "2", None, 10**30]),
    ("required_copies", [0, 3, True, 1.0, "1", None]),
    ("max_inactive_interval", [0, -1, MAX_SECONDS + 1, True, 1.5, "60", float("inf")]),
    ("max_lifetime", [0, -1, MAX_SECONDS + 1, True, 1.5, "60"]),
    ("slide_always", [None, 1, 0, "true"]),
    ("tracking", ["cookie", (), [], ["cookies"], ["cookie", 5], ["URL"], [[]], None, 5]),
    ("parameter", ["", "a b", "1a", "a;b", "a=b", "x" * 33, "\xe9", "a\n", None, 5]),
    ("crawlers", ["(", "*", None, 5, b"bot", []]),
    ("trusted_proxies", [-1, 33, True, None, "1", 1.0]),
    ("key_prefix", ["", "a b", "a\n", "\xe9", "x" * 101, None, b"x", 5]),
    ("connect_timeout", [0, -1, 61, True, None, "1", float("nan"), float("inf")]),
    ("timeout", [0, -0.5, 60.1, True, None, "1", float("nan"), float("inf")]),
    ("on_unavailable", ["", "raise", None, True, []]),
    ("ignore_paths", ["/static", ["static"], [""], [5], [None], [b"/x"], 5, None]),
    ("save_on_5xx", [None, 1, "no"]),
    ("cookie_name", ["", "a b", "a;b", "a=b", "\xe9", "a\n", "a,b", 'a"b', None, 5]),
    ("cookie_path", ["", "app", "/a;b", "/a\r\nSet-Cookie: x", "/\xe9", 5]),
    ("cookie_domain", ["", "a;b", "a\nb", "\xe9.example", 5]),
    ("cookie_secure", ["yes", None, "AUTO", 0, 1, 2, []]),
    ("cookie_httponly", [None, 1, "yes"]),
    ("cookie_samesite", ["lax", "none", "", True, 0]),
    ("cookie_partitioned", [None, 1, "yes"]),
    ("cookie_max_age", [0, -1, True, 1.5, "60", MAX_SECONDS + 1]),
]


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in BAD for value in values])
def test_a_bad_value_is_named(option: str, value: Any) -> None:
    """A value out of range or of another type is a ConfigError that names the option and shows the value."""
    error = refused(**{option: value})
    # "sticky" is checked together with the route that it needs.
    assert error.option == option or (option, error.option) == ("sticky", "route")
    assert any(text in str(error) for text in ways_to_show(value)) or option == "sticky"


def ways_to_show(value: object) -> list[str]:
    """How a message may name a value: as it is, by its type, by what it holds, or by what is wrong with it."""
    ways = [repr(value), type(value).__name__]
    if isinstance(value, list | bytes):
        ways += [repr(tuple(value)), *(repr(item) for item in value)]
    if isinstance(value, list | str):
        ways += ["single text"] if value else ["empty"]
    return ways


@pytest.mark.parametrize(
    "option", ["nodes", "secret_key", "secret_key_fallbacks", "ignore_paths", "copies", "tracking"]
)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
)
def test_any_value_is_taken_or_a_config_error(option: str, value: Any) -> None:
    """No value whatever makes an option raise something else than ConfigError about this option."""
    try:
        build(**{option: value})
    except ConfigError as error:
        blamed = error.option
    else:
        blamed = option
    assert blamed in (option, "required_copies")


def test_options_that_contradict_each_other_are_refused() -> None:
    """More required than kept copies, and sticky without a route, name the option to change."""
    assert refused(copies=1, required_copies=2).option == "required_copies"
    assert refused(sticky=True).option == "route"
    assert build(sticky=True, route="web1").sticky


def test_the_node_list_is_parsed_at_start() -> None:
    """Nodes are parsed when the configuration is built; a callable is asked exactly once."""
    asked = []

    def nodes() -> str:
        asked.append(1)
        return "n1:10.0.0.1"

    config = build(nodes=nodes)
    assert config.memcached_nodes == (NodeConfig("n1", ("10.0.0.1", 11211)),)
    assert config.memcached_nodes == config.memcached_nodes
    assert asked == [1]
    assert build(nodes="memory").memcached_nodes is None
    assert refused(nodes=lambda: "nonsense").option == "nodes"


def test_a_configuration_cannot_be_changed() -> None:
    """Options are frozen: what was checked is what is used."""
    config = build()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.copies = 0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.cookie.name = ""  # type: ignore[misc]


def test_replace_checks_again() -> None:
    """A changed copy of a configuration is checked like a new one."""
    assert dataclasses.replace(build(nodes="n1:h"), nodes=None).memcached_nodes is None
    with pytest.raises(ConfigError, match="copies"):
        dataclasses.replace(build(), copies=0)


# -- cookie name prefixes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__Host-sid", "__host-sid", "__HOST-sid"])
def test_a_host_cookie_is_secure_at_the_root_without_domain(name: str) -> None:
    """Browsers refuse a `__Host-` cookie with anything else, so path and secure are set and the rest is refused."""
    for options in ({}, {"cookie_path": "/"}, {"cookie_secure": True}, {"cookie_secure": "auto"}):
        cookie = build(cookie_name=name, **options).cookie
        assert (cookie.path, cookie.secure, cookie.domain) == ("/", True, None)
    assert refused(cookie_name=name, cookie_path="/app").option == "cookie_path"
    assert refused(cookie_name=name, cookie_domain="example.com").option == "cookie_domain"
    assert refused(cookie_name=name, cookie_secure=False).option == "cookie_secure"


@pytest.mark.parametrize(
    "options",
    [
        {"cookie_name": "__Secure-sid"},
        {"cookie_name": "__secure-sid"},
        {"cookie_samesite": "None"},
        {"cookie_partitioned": True},
    ],
)
def test_what_needs_secure_makes_the_cookie_secure(options: dict[str, Any]) -> None:
    """`__Secure-`, SameSite=None and Partitioned need Secure, which is then set and cannot be switched off."""
    cookie = build(**options, cookie_path="/app", cookie_domain="example.com").cookie
    assert (cookie.secure, cookie.path, cookie.domain) == (True, "/app", "example.com")
    assert refused(**options, cookie_secure=False).option == "cookie_secure"


def test_an_ordinary_name_leaves_the_attributes_alone() -> None:
    """Only the prefixes that browsers know have an effect."""
    for name in ("JSESSIONID", "Host-sid", "_Host-sid", "x__Host-sid", "__Hostsid"):
        assert build(cookie_name=name).cookie == CookieConfig(name=name)


# -- unknown options, sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("secret", "secret_key"),
        ("secretkey", "secret_key"),
        ("node", "nodes"),
        ("timeot", "timeout"),
        ("max_inactive_intervall", "max_inactive_interval"),
        ("cookie_samesit", "cookie_samesite"),
        ("cookies", "cookie"),
        ("ROUTE", None),
        ("xyzzy", None),
        ("", None),
        (5, None),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest(wrong: Any, nearest: str | None) -> None:
    """A misspelled option is refused by name; the message proposes the nearest known one, or lists all."""
    with pytest.raises(ConfigError) as caught:
        build_config({"secret_key": SECRET, wrong: "value"})
    assert caught.value.option == str(wrong)
    if nearest is not None:
        assert f"did you mean {nearest}?" in str(caught.value)
    elif "did you mean" not in str(caught.value):
        assert "max_inactive_interval" in str(caught.value)


def test_every_option_is_proposed_for_a_slip() -> None:
    """One letter too many in any option's name still finds that option."""
    for option in all_options():
        with pytest.raises(ConfigError, match=f"did you mean {option}\\?"):
            build_config({option + "x": 1})


def test_cookie_attributes_come_one_by_one_or_together() -> None:
    """`cookie_name=...`, a mapping and a CookieConfig are three spellings of the same."""
    wanted = CookieConfig(name="sid", max_age=60)
    assert build(cookie_name="sid", cookie_max_age=60).cookie == wanted
    assert build(cookie={"name": "sid", "max_age": 60}).cookie == wanted
    assert build(cookie=wanted).cookie == wanted
    assert "cookie_name" in str(refused(cookie={"nmae": "sid"}))
    for wrong in (None, "sid", 5, ["name"]):
        assert refused(cookie=wrong).option == "cookie"
    with pytest.raises(ConfigError, match="CookieConfig"):
        SessionConfig(secret_key=SECRET, cookie={"name": "sid"})  # type: ignore[arg-type]


def test_an_earlier_source_wins() -> None:
    """Of several sources the first that has an option decides, option by option, also inside the cookie."""
    config = build_config(
        {"copies": 3},
        {"copies": 4, "timeout": 2, "cookie": {"name": "second"}},
        {"secret_key": SECRET, "copies": 5, "timeout": 3, "cookie_name": "third", "cookie_path": "/third"},
    )
    assert (config.copies, config.timeout, config.cookie.name, config.cookie.path) == (3, 2, "second", "/third")


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["copies", "trusted_proxies", "cookie_max_age"]), st.integers(1, 16)),
        max_size=4,
    )
)
def test_precedence_of_any_sources(sources: list[dict[str, int]]) -> None:
    """Whatever the sources, each option has the value of the first source that names it, else its default."""
    config = build_config(*sources, {"secret_key": SECRET})
    wanted: dict[str, int | None] = {"copies": 2, "trusted_proxies": 0, "cookie_max_age": None}
    for source in reversed(sources):
        wanted.update(source)
    assert (config.copies, config.trusted_proxies, config.cookie.max_age) == tuple(wanted.values())


def test_an_unknown_option_in_a_losing_source_is_still_refused() -> None:
    """Every source is checked, not only what it contributes."""
    with pytest.raises(ConfigError, match="routte"):
        build_config({"secret_key": SECRET}, {"routte": "x"})


# -- environment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "option", "value"),
    [
        ("NODES", "n1:h1 n2:h2", "nodes", "n1:h1 n2:h2"),
        ("NODES", "none", "nodes", None),
        ("NODES", "memory", "nodes", "memory"),
        ("SECRET_KEY", SECRET, "secret_key", SECRET),
        ("SECRET_KEY_FALLBACKS", "aaaaaaaaaaaaaaaa,bbbbbbbbbbbbbbbb", "secret_key_fallbacks", ("a" * 16, "b" * 16)),
        ("SECRET_KEY_FALLBACKS", "", "secret_key_fallbacks", ()),
        ("ROUTE", "web1", "route", "web1"),
        ("ROUTE", "none", "route", "none"),
        ("STICKY", "true", "sticky", True),
        ("STICKY", "1", "sticky", True),
        ("STICKY", "Yes", "sticky", True),
        ("STICKY", "ON", "sticky", True),
        ("STICKY", "false", "sticky", False),
        ("STICKY", "0", "sticky", False),
        ("STICKY", "no", "sticky", False),
        ("STICKY", " off ", "sticky", False),
        ("COPIES", "3", "copies", 3),
        ("MAX_INACTIVE_INTERVAL", "60", "max_inactive_interval", 60),
        ("MAX_INACTIVE_INTERVAL", "None", "max_inactive_interval", None),
        ("MAX_LIFETIME", "none", "max_lifetime", None),
        ("CONNECT_TIMEOUT", "1", "connect_timeout", 1.0),
        ("TIMEOUT", "0.75", "timeout", 0.75),
        ("KEY_PREFIX", "shop:", "key_prefix", "shop:"),
        ("ON_UNAVAILABLE", "empty", "on_unavailable", "empty"),
        ("IGNORE_PATHS", "/static, /health", "ignore_paths", ("/static", "/health")),
        ("TRACKING", "cookie, url", "tracking", ("cookie", "url")),
        ("PARAMETER", "sid", "parameter", "sid"),
        ("CRAWLERS", "", "crawlers", ""),
        ("COOKIE_NAME", "sid", "cookie_name", "sid"),
        ("COOKIE_PATH", "/app", "cookie_path", "/app"),
        ("COOKIE_PATH", "none", "cookie_path", None),
        ("COOKIE_SECURE", "auto", "cookie_secure", "auto"),
        ("COOKIE_SECURE", "true", "cookie_secure", True),
        ("COOKIE_SECURE", "0", "cookie_secure", False),
        ("COOKIE_HTTPONLY", "false", "cookie_httponly", False),
        ("COOKIE_SAMESITE", "Strict", "cookie_samesite", "Strict"),
        ("COOKIE_SAMESITE", "None", "cookie_samesite", "None"),
        ("COOKIE_PARTITIONED", "yes", "cookie_partitioned", True),
        ("COOKIE_MAX_AGE", "86400", "cookie_max_age", 86400),
        ("COOKIE_MAX_AGE", "none", "cookie_max_age", None),
    ],
)
def test_a_variable_becomes_its_options_type(variable: str, text: str, option: str, value: Any) -> None:
    """The text of SHAREDSESSION_<NAME> is turned into the option's type, and the option takes it."""
    options = read_environment({"SHAREDSESSION_" + variable: text})
    assert options == {option: value}
    assert type(options[option]) is type(value)
    build_config(options, {"secret_key": SECRET, "route": "web1"})  # takes it


def test_every_option_can_be_set_by_the_environment() -> None:
    """There is a variable for each option, the cookie's attributes included."""
    texts = dict.fromkeys(all_options(), "1")
    assert set(read_environment({f"SHAREDSESSION_{option.upper()}": text for option, text in texts.items()})) == set(
        texts
    )


@pytest.mark.parametrize(
    ("variable", "text"),
    [("COPIES", "two"), ("COPIES", ""), ("COPIES", "1.5"), ("TIMEOUT", "fast"), ("STICKY", "maybe"), ("STICKY", ""),
     ("COOKIE_MAX_AGE", "1h"), ("SAVE_ON_5XX", "2"), ("TRUSTED_PROXIES", "\u0661x")],
)  # fmt: skip
def test_a_variable_of_another_type_is_refused(variable: str, text: str) -> None:
    """Text that is not of the option's type is a ConfigError that names the option and the text."""
    with pytest.raises(ConfigError) as caught:
        read_environment({"SHAREDSESSION_" + variable: text})
    assert caught.value.option == variable.lower()
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("variable", "text"), [("COOKIE_SECURE", "perhaps"), ("TIMEOUT", "nan"), ("COPIES", "0")])
def test_a_variable_out_of_range_is_refused_when_built(variable: str, text: str) -> None:
    """Text of the right type goes through the same check as every other source."""
    with pytest.raises(ConfigError) as caught:
        build_config(read_environment({"SHAREDSESSION_" + variable: text}), {"secret_key": SECRET})
    assert caught.value.option == variable.lower()


def test_an_unknown_variable_is_one_warning_that_hides_its_value() -> None:
    """Kubernetes injects SHAREDSESSION_SERVICE_HOST: a warning that names it, nothing more, and the rest counts."""
    environ = {"SHAREDSESSION_SERVICE_HOST": "10.9.8.7", "SHAREDSESSION_ROUTE": "web1", "HOME": "/nowhere"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = read_environment(environ)
    assert options == {"route": "web1"}
    assert [("SHAREDSESSION_SERVICE_HOST" in str(w.message), "10.9.8.7" in str(w.message)) for w in caught] == [
        (True, False)
    ]


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["x" * 15, b"x" * 15, "\xe9" * 7 + "x", ["x" * 16], 5, bytearray(16)])
def test_a_bad_secret_is_refused(key: Any) -> None:
    """Less than 16 bytes, or neither text nor bytes, is refused as signing key and as fallback alike."""
    assert refused(secret_key=key).option == "secret_key"
    assert refused(secret_key_fallbacks=[key]).option == "secret_key_fallbacks"


@pytest.mark.parametrize("options", [{}, {"secret_key": ""}, {"secret_key": b""}, {"secret_key": None}])
def test_a_missing_secret_says_how_to_make_one(options: dict[str, Any]) -> None:
    """Without a secret nothing starts, and the message holds the command that makes one."""
    with pytest.raises(ConfigError, match="secret_key: is required; python -c"):
        build_config(options)


def test_text_and_bytes_are_the_same_secret() -> None:
    """A secret as text and its UTF-8 bytes give the same keys: nodes may differ in how they are configured."""
    assert build(secret_key="\xe9" * 8).secret_keys == build(secret_key="\xe9".encode() * 8).secret_keys
    config = build(secret_key="k" * 16, secret_key_fallbacks=["f" * 16, b"g" * 16])
    assert config.secret_keys == (b"k" * 16, b"f" * 16, b"g" * 16)


# Characters that no message of ours uses, so that finding one means a leak. The last is what os.environ makes of a
# byte that is no UTF-8.
_SECRET_TEXT = st.text("\u4e00\u4e01\u4e02\u4e03", max_size=12) | st.text("\u4e00\u4e01\udcff", min_size=1, max_size=12)
_SECRETS = st.one_of(
    _SECRET_TEXT,
    _SECRET_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    _SECRET_TEXT.map(lambda text: [text]),
    _SECRET_TEXT.map(lambda text: {text: text}),
)


def assert_hidden(shown: str) -> None:
    for form in ("\u4e00", "\u4e01", "\u4e02", "\u4e03", "\\u4e0", "\\xe4\\xb8", "\udcff", "\\udcff"):
        assert form not in shown


@given(_SECRETS, st.lists(_SECRETS, max_size=2) | _SECRETS, st.sampled_from(["secret_key", "secret_kye", "SECRET_KEY"]))
def test_no_error_and_no_repr_shows_a_secret(key: Any, fallbacks: Any, spelled: str) -> None:
    """Whatever is wrong with secrets of any type, or nothing, neither message nor traceback nor repr holds them."""
    try:
        config = build_config({spelled: key, "secret_key_fallbacks": fallbacks})
    except ConfigError as error:
        assert_hidden(str(error))
        assert_hidden(repr(error))
        assert_hidden("".join(traceback.format_exception(error)))
    else:
        assert_hidden(repr(config))
        assert_hidden(f"{config}")


@given(_SECRET_TEXT, _SECRET_TEXT)
def test_no_secret_of_the_environment_is_shown(key: str, fallbacks: str) -> None:
    """The same for secrets that come from environment variables, with some other variable wrong."""
    environ = {"SHAREDSESSION_SECRET_KEY": key, "SHAREDSESSION_SECRET_KEY_FALLBACKS": fallbacks}
    for more in ({}, {"SHAREDSESSION_COPIES": "x"}, {"SHAREDSESSION_COPIES": "99"}):
        try:
            config = build_config(read_environment({**environ, **more}))
        except ConfigError as error:
            assert_hidden("".join(traceback.format_exception(error)))
        else:
            assert_hidden(repr(config))
