"""A Django project on several nodes: come back to any of them, log in on one and out on another.

Start memcached twice and the project twice, and open http://127.0.0.1:8001 and http://127.0.0.1:8002 in turn:

    $ memcached -p 11211 &
    $ memcached -p 11212 &
    $ export SHAREDSESSION_NODES="n1:127.0.0.1:11211 n2:127.0.0.1:11212"
    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ SHAREDSESSION_ROUTE=web1 gunicorn --bind=127.0.0.1:8001 --workers=2 django_app:application &
    $ SHAREDSESSION_ROUTE=web2 gunicorn --bind=127.0.0.1:8002 --workers=2 django_app:application &
"""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template import RequestContext, Template
from django.urls import path
from django.views.decorators.http import require_POST

from sharedsession.django import get_session

settings.configure(
    SECRET_KEY=os.environ["SHAREDSESSION_SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    # These three make the sessions shared. Nodes and the node's name are read from SHAREDSESSION_* in the environment.
    INSTALLED_APPS=["sharedsession.django"],
    MIDDLEWARE=["sharedsession.django.SharedSessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    SESSION_ENGINE="sharedsession.django",
    SESSION_COOKIE_NAME="JSESSIONID",
    CSRF_USE_SESSIONS=True,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)

application = get_wsgi_application()

PAGE = Template("""<!doctype html>
<title>Django</title>
<p>You were here {{ request.session.visits }} times.</p>
{% if request.session.user %}
  {{ request.session.user }}
  <form method="post" action="{% url 'log_out' %}">{% csrf_token %}<button>Log out</button></form>
{% else %}
  <form method="post" action="{% url 'log_in' %}">{% csrf_token %}<input name="user"> <button>Log in</button></form>
{% endif %}
""")


def home(request: HttpRequest) -> HttpResponse:
    """Count the visit; exactly, also when two tabs load at the same moment."""
    get_session(request).transaction(lambda session: session.update(visits=session.get("visits", 0) + 1))
    return HttpResponse(PAGE.render(RequestContext(request, {"request": request})))


@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in; a real project has django.contrib.auth.login(), which changes the id as well."""
    # An id that somebody else may have seen, or planted, is worth nothing from now on.
    request.session.cycle_key()
    request.session["user"] = request.POST["user"]
    return HttpResponseRedirect("/", status=303)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session on every node."""
    request.session.flush()
    return HttpResponseRedirect("/", status=303)


urlpatterns = [path("", home), path("login", log_in, name="log_in"), path("logout", log_out, name="log_out")]
