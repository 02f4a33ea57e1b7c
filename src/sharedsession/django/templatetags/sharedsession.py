"""`{% load sharedsession %}`: links and forms for clients without cookies."""

from __future__ import annotations

from django import template
from django.template import Context
from django.utils.safestring import SafeString

from ...exchange import Exchange
from ..session import SessionStore

register = template.Library()


@register.simple_tag(takes_context=True)
def encode_url(context: Context, url: str) -> str:
    """Return a URL of the site with the session id, for a client without cookies; see `sharedsession.encode_url`.

    `{% url 'cart' as cart %}<a href="{% encode_url cart %}">`. Unchanged where the context holds no request.
    """
    exchange = _exchange(context)
    return url if exchange is None else exchange.encode_url(url)


@register.simple_tag(takes_context=True)
def hidden_field(context: Context) -> SafeString:
    """Return the hidden field to be the first in a POST form, for a client without cookies; empty for any other."""
    exchange = _exchange(context)
    return SafeString("" if exchange is None else exchange.hidden_field())


def _exchange(context: Context) -> Exchange | None:
    session = getattr(context.get("request"), "session", None)
    return session.exchange if isinstance(session, SessionStore) else None
