"""Django: the async twins of the session's methods."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from servers import Memcached

from djangoface.conftest import Serve
from djangoface.project import remaining, seconds, stored


def test_async_twins(serve: Serve, memcached: Memcached) -> None:
    """The async twins of Django's methods do what those do."""

    async def use(request: HttpRequest) -> object:
        session = request.session
        await session.aset("a", 1)
        await session.aupdate({"b": 2})
        assert await session.asetdefault("c", 3) == 3
        assert await session.apop("c") == 3
        assert await session.aget("b") == 2
        assert await session.ahas_key("a")
        assert sorted(await session.akeys()) == ["a", "b"]
        assert sorted(await session.avalues()) == [1, 2]
        await session.aset_test_cookie()
        assert await session.atest_cookie_worked()
        await session.adelete_test_cookie()
        await session.aset_expiry(300)
        assert not await session.aget_expire_at_browser_close()
        await session.asave()
        old = session.session_key
        assert old is not None
        assert remaining(memcached, old) > 200
        await session.acycle_key()
        return [await session.aget_expiry_age(), await session.aload(), session.session_key != old]

    async def flush(request: HttpRequest) -> bool:
        key = request.session.session_key
        await request.session.aflush()
        return await request.session.aexists(key or "")

    browser = serve({"use": async_to_sync(use), "flush": async_to_sync(flush)})
    answer = browser.get("/use")
    assert answer.text == "[300, {}, True]"
    assert seconds(answer.set_cookie) == 300
    assert stored(browser.id) == {"_session_expiry": 300, "a": 1, "b": 2}
    assert browser.get("/flush").text == "False"
    assert browser.cookies == {}
