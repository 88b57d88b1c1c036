"""The workers of a sweep: processes here, or a cluster's, by Dask."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

from ohmgrid.doors.checks import ConfigError, OhmgridError
from ohmgrid.sweeps.spec import Run
from ohmgrid.sweeps.work import run_text

__all__ = ["Done", "check_dask", "run_all", "workers"]

AHEAD = 3
"""Runs that are sent for each worker: one at work, the others wait there."""


class Done(NamedTuple):
    """A run that ended."""

    run: Run
    result: dict[str, Any]
    """As of `run_text`; empty if it failed."""
    error: str
    """One line; empty if it did not."""


def check_dask() -> None:
    """Raise `OhmgridError` unless Dask is installed."""
    if find_spec("distributed") is None:
        raise OhmgridError("a sweep needs Dask; install it: pip install 'ohmgrid[sweep]'")


@contextmanager
def workers(count: int, address: str = "") -> Iterator[Any]:
    """Yield a client of so many processes here, or of the scheduler at an address.

    A process that dies is replaced; what it was at work on is done again.

    Parameters
    ----------
    count : int
    address : str
        Of a scheduler, such as ``tcp://host:8786``; empty: processes here, named by numbers from 0.

    Raises
    ------
    ConfigError
        If there is no scheduler.
    """
    from dask.config import set as settings
    from distributed import Client, LocalCluster

    # A worker would keep a profile of each second for an hour: hundreds of MiB.
    quiet = {
        "logging.distributed": "error",
        "distributed.admin.tick.limit": "1h",
        "distributed.worker.profile.enabled": False,
    }
    with settings(quiet):
        if address:
            try:
                client = Client(address, timeout="20s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise ConfigError("scheduler", f"expected one at {address}: {error}") from None
            with client:
                yield client
            return
        with (
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,  # type: ignore[arg-type]
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


def _here(text: str, engine: str, boards: Sequence[str]) -> dict[str, Any]:
    """Run in a worker: on its own board where there are boards."""
    if boards:
        from distributed import get_worker

        engine = boards[int(get_worker().name)]
    return run_text(text, engine)


def run_all(
    client: Any,
    runs: Iterator[Run],
    engine: str,
    on_done: Callable[[Done], None],
    stop: Callable[[], bool],
    boards: Sequence[str] = (),
) -> None:
    """Have workers do runs, a few ahead of them; report each as it ends.

    Parameters
    ----------
    client : distributed.Client
    runs : iterator of Run
    engine : str
    on_done : callable
    stop : callable
        Asked between results: then no more are sent, and none is waited for.
    boards : sequence of str
        Ports, one for each worker here; empty: all run ``engine``.
    """
    from distributed import as_completed

    sent: dict[Any, Run] = {}
    ended = as_completed(loop=client.loop)

    def send() -> None:
        room = AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        while len(sent) < room and (run := next(runs, None)) is not None:
            if run.wrong:
                on_done(Done(run, {}, run.text))
                continue
            future = client.submit(_here, run.text, engine, boards, pure=False)
            sent[future] = run
            ended.add(future)

    send()
    while sent and not stop():
        future = next(ended)
        run, error = sent.pop(future), future.exception()
        on_done(Done(run, {} if error else future.result(), _line(error)))
        # Nothing of it stays, here or there.
        future.release()
        send()
    client.cancel([*sent])


def _line(error: BaseException | None) -> str:
    if error is None:
        return ""
    words = str(error).split("\n")[0] or "no word"
    return words if isinstance(error, OhmgridError) else f"{type(error).__name__}: {words}"
