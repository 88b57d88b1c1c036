"""The page's server: who gets in, what it serves, and what it does when the run ends."""

import asyncio
import http.client
import json
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from watched import session

from ohmgrid.doors.checks import ConfigError
from ohmgrid.watch.messages import End, Update, Weights
from ohmgrid.watch.saved import told_by
from ohmgrid.watch.server import FILES, Page, _wait_alone
from ohmgrid.watch.view import View


class Server:
    """A page whose run is what a test says, and what was asked of that run."""

    def __init__(self) -> None:
        self.view, self.asked, self.there = View(), [], True
        self.page = Page(self.view, self._ask)

    async def _ask(self, what: str) -> bool:
        self.asked.append(what)
        return self.there

    @property
    def path(self) -> str:
        return self.page.url.split(str(self.page.port))[1]

    def _request(self, method: str, path: str, headers: dict[str, str]):
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = b"" if answer.getheader("Content-Type") == "text/event-stream" else answer.read()
        connection.close()
        return answer, body

    async def get(self, path: str, method: str = "GET", **headers: str):
        """Return the answer and its content."""
        return await asyncio.to_thread(self._request, method, path, headers)

    async def post(self, what: str, **headers: str) -> int:
        answer, _ = await self.get(self.path + what, "POST", **headers)
        return answer.status


def with_server(test: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        await server.page.start()
        try:
            await test(server)
        finally:
            await server.page.stop()

    asyncio.run(run())


def test_the_address_is_local_and_secret():
    async def test(server: Server) -> None:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", server.page.url)
        assert Server().page.url[-33:] != server.page.url[-33:]
        with pytest.raises(OSError):  # noqa: PT012
            other = socket.gethostbyname(socket.gethostname())
            if other.startswith("127."):
                other = "127.0.0.2"
            socket.create_connection((other, server.page.port), 1).close()

    with_server(test)


def test_the_files_come_with_what_keeps_them_here():
    async def test(server: Server) -> None:
        for name, (_, kind) in FILES.items():
            answer, body = await server.get(server.path + name)
            assert answer.status == 200
            assert answer.getheader("Content-Type") == f"{kind}; charset=utf-8"
            assert answer.getheader("Cache-Control") == "no-store"
            policy = answer.getheader("Content-Security-Policy") or ""
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert not re.search(r"http|unsafe|\*", policy)
            # Nothing from elsewhere is asked for, and nothing is inline that the policy forbids.
            assert not re.search(rb"https?:|//[a-z]|<style|style=|<script>| on[a-z]+=", body)

    with_server(test)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("{}", {}, 200),
        ("{}", {"Host": "localhost:{port}"}, 200),
        ("{}", {"Host": "evil.example:{port}"}, 403),
        ("{}", {"Host": "127.0.0.1"}, 403),
        ("{}events", {"Host": "evil.example:{port}"}, 403),
        ("/", {}, 404),
        ("/x/", {}, 404),
        ("/events", {}, 404),
        ("{}nothing", {}, 404),
        ("{}../server.py", {}, 404),
        ("{}%2e%2e/server.py", {}, 404),
        ("{upper}", {}, 404),
        ("/%C3%A9/", {}, 404),
        ("{}events", {"Origin": "https://evil.example"}, 403),
        ("{}events", {"Origin": "null"}, 403),
        ("{}page.js", {"Origin": "http://127.0.0.1:{port}"}, 200),
        ("{}pause", {}, 404),
    ],
)
def test_who_may_look(path, headers, status):
    async def test(server: Server) -> None:
        asked = path.replace("{}", server.path).replace("{upper}", server.path.swapcase())
        given = {
            name: text.replace("{port}", str(server.page.port)) for name, text in headers.items()
        }
        answer, body = await server.get(asked, **given)
        assert answer.status == status
        assert answer.getheader("Cache-Control") == "no-store"
        assert status == 200 or server.path.strip("/").encode() not in body

    with_server(test)


def test_who_may_pause():
    async def test(server: Server) -> None:
        own = f"http://127.0.0.1:{server.page.port}"
        for headers in (
            {},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": own.replace("http:", "https:")},
            {"Origin": own + ".evil.example"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": own, "Host": "evil.example"},
        ):
            assert await server.post("pause", **headers) == 403
        answer, _ = await server.get("/wrong/pause", "POST", Origin=own)
        assert answer.status == 404
        assert server.asked == []
        assert await server.post("pause", Origin=own) == 204
        assert await server.post("resume", Origin=own.replace("127.0.0.1", "localhost")) == 204
        assert await server.post("stop", Origin=own) in (404, 405)
        assert server.asked == ["pause", "resume"]
        server.there = False
        assert await server.post("pause", Origin=own) == 409

    with_server(test)


@asynccontextmanager
async def events(server: Server):
    """A browser: yields a function that returns the next event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.page.port)
    host = f"127.0.0.1:{server.page.port}"
    writer.write(f"GET {server.path}events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    kept = bytearray()

    async def line() -> bytes:
        while b"\n" not in kept:
            size = int(await reader.readline(), 16)
            if size == 0:
                raise EOFError
            kept.extend((await reader.readexactly(size + 2))[:-2])
        found, _, rest = bytes(kept).partition(b"\n")
        kept[:] = rest
        return found

    async def following() -> tuple[str, dict]:
        name = b""
        while True:
            text = await line()
            if text.startswith(b"event: "):
                name = text[7:]
            elif text.startswith(b"data: "):
                return name.decode(), json.loads(text[6:])

    try:
        yield lambda: asyncio.wait_for(following(), 10)
    finally:
        writer.close()


def messages():
    """What is told of a run of two epochs."""
    run = session(epochs=2)
    run.run(lambda: False, lambda progress: None, lambda row: None)
    return run, told_by(run.checkpoint(), Path("runs/a"))


def test_a_browser_gets_what_there_is_and_then_what_comes():
    run, told = messages()
    hello, update, weights, end = told
    assert isinstance(update, Update)

    async def test(server: Server) -> None:
        async with events(server) as early:
            assert await early() == ("state", {"state": "waiting"})
            for message in (hello, update, weights):
                server.view.take(message)
            async with events(server) as late:
                for event in (early, late):
                    names = [(await event())[0] for _ in range(4)]
                    assert names == ["hello", "update", "weights", "state"]
            more = Update(True, 2, 0, 0, 0.0, 80, 1.0, update.counters, 3, [{"epoch": 3}])
            server.view.take(more)
            server.view.take(msgspec.structs.replace(more, first=4))
            name, content = await early()
            assert (name, content["paused"]) == ("update", True)
            # One row from each of both, in one update or in two.
            rows = content["rows"]
            if len(rows) == 1:
                assert await early() == ("state", {"state": "paused"})
                rows += (await early())[1]["rows"]
            else:
                assert await early() == ("state", {"state": "paused"})
            assert rows == [{"epoch": 3}] * 2
            server.view.take(end)
            assert await early() == ("state", {"state": "finished"})
            server.view.close()
            with pytest.raises(EOFError):
                await early()

    with_server(test)
    assert [row["epoch"] for row in update.rows] == [0, 1, 2]
    assert update.rows == run.history
    assert isinstance(weights, Weights)
    assert weights.examples == 80
    assert end == End("finished")


def test_a_browser_that_does_not_read_holds_nothing_up():
    _, (hello, update, weights, _) = messages()
    assert isinstance(update, Update)

    async def test(server: Server) -> None:
        server.view.take(hello)
        async with events(server) as lazy, events(server) as eager:
            del lazy
            received = 0
            for number in range(300):
                rows = [{"epoch": number, "note": "x" * 10000}]
                server.view.take(Update(False, 0, 0, 0, 0.0, 0, 0.0, update.counters, number, rows))
                server.view.take(weights)
                while (event := await eager())[0] != "update":
                    pass
                received += len(event[1]["rows"])
            assert received == 300

    with_server(test)


def test_a_port_that_is_taken_is_said_in_a_line():
    async def test(server: Server) -> None:
        other = Page(View(), server._ask)
        with pytest.raises(
            ConfigError, match=r"port: expected a free one on 127\.0\.0\.1, got \d+"
        ):
            await other.start(server.page.port)
        await other.stop()

    with_server(test)


def test_it_ends_when_the_run_is_over_and_nobody_looks():
    async def test(server: Server) -> None:
        server.view.set_state("running")
        waiting = asyncio.create_task(_wait_alone(server.page, server.view, 0.3))
        await asyncio.sleep(0.7)
        assert not waiting.done()
        async with events(server):
            server.view.set_state("finished")
            await asyncio.sleep(0.7)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 3)

    with_server(test)
