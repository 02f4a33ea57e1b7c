"""`{% load sharedsession %}`: links and forms for clients without cookies."""

from __future__ import annotations

from django import template
from django.template import Context
from django.utils.safestring import SafeString

from .. import middleware

register: template.Library = template.Library()

#: What `django.utils.html.escape` makes of characters.
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&"))


@register.simple_tag(takes_context=True)
def encode_url(context: Context, url: str) -> str:
    """Return a URL of the site with the session id, for a client without cookies; see `sharedsession.encode_url`.

    `{% url 'cart' as cart %}<a href="{% encode_url cart %}">`. Unchanged where the context holds no request.
    """
    request = context.get("request")
    plain = _unescaped(url)
    return plain if request is None else middleware.encode_url(request, plain)


@register.simple_tag(takes_context=True)
def hidden_field(context: Context) -> SafeString:
    """Return the hidden field to be the first in a POST form, for a client without cookies; empty for any other."""
    request = context.get("request")
    return SafeString() if request is None else middleware.hidden_field(request)


def _unescaped(url: str) -> str:
    """Return the URL that a text stands for: one that is written in the template, or marked safe, is HTML already."""
    text = str(url)
    if isinstance(text, SafeString):
        for escaped, character in _ESCAPED:
            text = text.replace(escaped, character)
    return text
