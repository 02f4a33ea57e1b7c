"""For an application's own tests: sessions without memcached, and a look at what is stored.

with in_memory(app) as sessions:
    client.set_cookie(sessions.cookie_name, sessions.create({"user": 7}))
    client.post("/logout")
    assert sessions.all() == []

With pytest, `pytest_plugins = ["sharedsession.testing.fixtures"]` gives the fixture `shared_sessions`.
"""

from .sessions import Face, HasExtensions, Sessions, UseSessions, in_memory

__all__ = ["Face", "HasExtensions", "Sessions", "UseSessions", "in_memory"]
