"""Clients that count and read one session until told to stop, and what happened to them."""

from __future__ import annotations

import threading
from collections import Counter
from http.client import HTTPException
from types import TracebackType
from typing import Self

from .client import Client, Reply


class Load:
    """Threads at work on one session, as a context manager: inside it they run.

    Args:
        client: whose session; its port is where the requests go.
        counting: how many threads add one to the counter, again and again.
        reading: how many threads read.
    """

    def __init__(self, client: Client, counting: int = 4, reading: int = 2) -> None:
        self._client = client
        self._stop = threading.Event()
        self._lock = threading.Lock()
        work = [self._count] * counting + [self._read] * reading
        self._threads = [threading.Thread(target=self._repeat, args=(one,)) for one in work]
        #: The counter before, and the increments that were acknowledged since.
        self.before = int(client.get("/api/session").body["attributes"].get("count", 0))
        self.counted = 0
        #: Replies by status; 0 for a broken connection.
        self.statuses: Counter[int] = Counter()
        #: What was wrong in replies: a session that was new, a cookie that changed, a count that went back.
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        """How many replies were not 200."""
        return self.statuses.total() - self.statuses[200]

    def _repeat(self, work: object) -> None:
        assert callable(work)
        client = self._client.at(self._client.port)
        while not self._stop.is_set():
            try:
                work(client)
            except (OSError, HTTPException) as error:
                self._note(0, f"broken connection: {error!r}")

    def _count(self, client: Client) -> None:
        reply = client.post("/api/count")
        with self._lock:
            self.counted += reply.status == 200
        self._judge(reply)

    def _read(self, client: Client) -> None:
        with self._lock:
            least = self.before + self.counted
        reply = client.get("/api/session")
        self._judge(reply)
        if reply.status == 200 and reply.body["attributes"].get("count", 0) < least:
            self._note(200, f"{reply.body['attributes']} read after the counter was {least}")

    def _judge(self, reply: Reply) -> None:
        complaint = ""
        if reply.status != 200:
            complaint = f"{reply.status}: {reply.text[:80]}"
        elif reply.cookie is not None or reply.body["id"] != self._client.cookie:
            complaint = f"another id: {reply.body['id']}"
        self._note(reply.status, complaint)

    def _note(self, status: int, complaint: str) -> None:
        with self._lock:
            self.statuses[status] += 1
            if complaint:
                self.wrong.append(complaint)
