"""The page's server: on this machine alone, and for whoever has its address alone.

It listens on 127.0.0.1. Each request passes these doors, in this order:

=============  ==================================================================================
Host           names this server: another name is a page elsewhere that had its own name rebound
token          the first part of the path, 192 random bits, compared in constant time
Origin         where a browser says which page asks, it is this one; what pauses must say it
=============  ==================================================================================

Answers are kept nowhere, and the page may load nothing from elsewhere (Content-Security-Policy).
"""

import asyncio
import hmac
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib import resources
from typing import Protocol

from aiohttp import web

from ohmgrid.doors.checks import ConfigError
from ohmgrid.watch.follow import Follower, Target
from ohmgrid.watch.view import LIVE, View

__all__ = ["SCOPE", "Page", "serve"]

ADDRESS = "127.0.0.1"
TOKEN_BYTES = 24
FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "run.js": ("run.js", "text/javascript"),
    "charts.js": ("charts.js", "text/javascript"),
    "layers.js": ("layers.js", "text/javascript"),
}
"""Name in the address -> file in the folder ``page``, and its type."""
SCOPE = {
    "": ("scope.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "scope.js": ("scope.js", "text/javascript"),
    "charts.js": ("charts.js", "text/javascript"),
}
"""The same of an oscilloscope (`ohmgrid.watch.scope`)."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Server": "ohmgrid",
}
ASKS = ("pause", "resume")
ALONE_S = 0.2
"""Seconds between two looks whether a page is open."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Source(Protocol):
    """What a page shows."""

    def events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield names and contents (JSON) of events for one browser, until `close`."""
        ...

    def close(self) -> None:
        """End all streams of events."""
        ...


class Page:
    """A server of one view.

    Parameters
    ----------
    view : Source
    ask : callable
        Asks the run to ``pause`` or ``resume``; returns whether there was one to ask.
    files : mapping
        As `FILES`.
    """

    def __init__(
        self,
        view: Source,
        ask: Callable[[str], Awaitable[bool]],
        files: Mapping[str, tuple[str, str]] = FILES,
    ) -> None:
        self._view, self._ask = view, ask
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self.port = 0
        self.open = 0
        """Pages that are open."""
        folder = resources.files("ohmgrid.watch") / "page"
        self._files = {
            name: (kind, (folder / file).read_bytes()) for name, (file, kind) in files.items()
        }
        app = web.Application(middlewares=[self._check_host, self._check_token])
        app.router.add_get("/{token}/events", self._events)
        app.router.add_get("/{token}/{name:[a-z.]*}", self._file)
        app.router.add_post(f"/{{token}}/{{what:{'|'.join(ASKS)}}}", self._do)
        app.on_response_prepare.append(self._add_headers)
        # A page that is closed ends its events at once.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )

    @property
    def url(self) -> str:
        """The address with its token."""
        return f"http://{ADDRESS}:{self.port}/{self._token}/"

    async def start(self, port: int = 0) -> None:
        """Listen; a free port is chosen where none is given.

        Raises
        ------
        ConfigError
            If the port is taken.
        """
        await self._runner.setup()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as error:
            listener.close()
            problem = f"expected a free one on {ADDRESS}, got {port}: {error.strerror}"
            raise ConfigError("port", problem) from None
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """End all answers and listen no more."""
        self._view.close()
        await self._runner.cleanup()

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Host") not in self._hosts:
            raise web.HTTPForbidden(text="this server has another name\n")
        return await handler(request)

    @web.middleware
    async def _check_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.path.split("/")[1].encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._token.encode()):
            raise web.HTTPNotFound(text="no such page; its address was printed when it started\n")
        origin = request.headers.get("Origin")
        own = [f"http://{host}" for host in self._hosts]
        if origin not in own and (origin is not None or request.method != "GET"):
            raise web.HTTPForbidden(text="only the page itself may ask\n")
        return await handler(request)

    @property
    def _hosts(self) -> tuple[str, ...]:
        return f"{ADDRESS}:{self.port}", f"localhost:{self.port}"

    async def _file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such file\n")
        kind, content = found
        return web.Response(body=content, content_type=kind, charset="utf-8")

    async def _do(self, request: web.Request) -> web.Response:
        if not await self._ask(request.match_info["what"]):
            raise web.HTTPConflict(text="no run is going on\n")
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.open += 1
        try:
            await response.write(b"retry: 1000\n\n")
            async for name, content in self._view.events():
                await response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), content))
        except ConnectionError:
            pass
        finally:
            self.open -= 1
        return response


async def _wait_alone(page: Page, view: View, seconds: float) -> None:
    """Return when for some seconds no run has been alive and no page open."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    while loop.time() - since < seconds:
        if page.open or view.state in LIVE:
            since = loop.time()
        await asyncio.sleep(ALONE_S)


async def serve(
    target: Target, ready: Callable[[str], object], port: int = 0, linger: float | None = None
) -> None:
    """Serve a page of a run until Ctrl-C or SIGTERM.

    Parameters
    ----------
    target : Target
    ready : callable
        Called with the page's address.
    port : int
        0 for any free one.
    linger : float, optional
        End when the run has been over, and no page open, for so many seconds.

    Raises
    ------
    ConfigError
        The port is taken.
    OhmgridError
        The run is of another version.
    """
    view = View()
    follower = Follower(target, view)
    page = Page(view, follower.ask)
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    await page.start(port)
    tasks = [asyncio.create_task(follower.run()), asyncio.create_task(asked.wait())]
    if linger is not None:
        tasks.append(asyncio.create_task(_wait_alone(page, view, linger)))
    try:
        ready(page.url)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await page.stop()
