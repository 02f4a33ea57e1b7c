"""Where options come from: keywords, a framework's settings, the environment; in falling precedence."""

from __future__ import annotations

import dataclasses
import difflib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .config import CookieConfig, SessionConfig
from .errors import ConfigError

#: Prefix of the environment variables and of Flask's settings.
SETTING_PREFIX = "SHAREDSESSION_"


def build_config(*sources: Mapping[str, Any]) -> SessionConfig:
    """Build the configuration from sources in falling precedence; a key that an earlier source has wins.

    A source maps option names to values. The cookie's attributes are named `cookie_name`, `cookie_path` ..., or come
    together as `cookie` (a `CookieConfig` or a mapping).

    Raises:
        ConfigError: a name is unknown (the nearest known one is named) or a value is wrong.
    """
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged.update(_flatten(source))
    cookie = {name.removeprefix("cookie_"): merged.pop(name) for name in list(merged) if name.startswith("cookie_")}
    return SessionConfig(**merged, cookie=CookieConfig(**cookie))


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that variables named `SHAREDSESSION_<NAME>` set, their text turned into values.

    An unknown name is one warning, not an error: Kubernetes injects variables named after services.

    Raises:
        ConfigError: a known option's text is not of its type.
    """
    options: dict[str, Any] = {}
    for variable in sorted(name for name in environ if name.startswith(SETTING_PREFIX)):
        option = variable.removeprefix(SETTING_PREFIX).lower()
        if option in _KINDS:
            options[option] = _from_text(option, environ[variable])
        else:
            warnings.warn(f"environment variable {variable} is not an option; ignored", stacklevel=2)
    return options


def _flatten(source: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in source.items():
        if name == "cookie":
            flat.update(_flatten_cookie(value))
        elif name in _KINDS:
            flat[name] = value
        else:
            nearest = difflib.get_close_matches(str(name), [*_KINDS, "cookie"], n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else f"options are {', '.join(sorted(_KINDS))}"
            raise ConfigError(str(name), f"is not an option; {hint}")
    return flat


def _flatten_cookie(value: object) -> dict[str, Any]:
    if isinstance(value, CookieConfig):
        # Only what it says: its defaults must not hide a framework's or the environment's settings.
        said = dataclasses.asdict(value).items() - dataclasses.asdict(CookieConfig()).items()
        return {f"cookie_{name}": item for name, item in said}
    if isinstance(value, Mapping):
        return _flatten({f"cookie_{name}": item for name, item in value.items()})
    raise ConfigError("cookie", f"expected a CookieConfig or a mapping, not {type(value).__name__}")


# Option -> declared type, the cookie's spelled cookie_<name>.
_KINDS: dict[str, str] = {
    **{item.name: str(item.type) for item in dataclasses.fields(SessionConfig) if item.name != "cookie"},
    **{f"cookie_{item.name}": str(item.type) for item in dataclasses.fields(CookieConfig)},
}


def _from_text(option: str, text: str) -> Any:
    kind = _KINDS[option]
    if option == "cookie_samesite":
        # SameSite=None is an attribute like the others; the empty text leaves the attribute out.
        return text.capitalize() or None
    if text.lower() == "none" and "None" in kind:
        return None
    if kind.startswith("tuple"):
        return tuple(part for part in re.split(r"[,\s]+", text) if part)
    parsers: list[tuple[str, Callable[[str], Any]]] = [("bool", _parse_bool), ("int", int), ("float", float)]
    for name, parse in parsers:
        if kind.startswith(name):
            try:
                return parse(text)
            except ValueError:
                if "str" in kind:
                    return text
                raise ConfigError(option, f"{text!r} is not {_article(name)}") from None
    return text


def _article(name: str) -> str:
    return {"bool": "true or false", "int": "a whole number", "float": "a number"}[name]


def _parse_bool(text: str) -> bool:
    values = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return values[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def all_options() -> Iterable[str]:
    """Return the name of every option, the cookie's attributes as `cookie_<name>`."""
    return tuple(_KINDS)
