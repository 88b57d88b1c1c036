"""Streams and scoreboard of a cocotb testbench: words in and out at random pace, each compared.

`Streams` drives valid/ready streams of a component, its ports named as `ohmgrid.tools.export` does,
and says what has moved in each cycle; a `Scoreboard` is told so, and holds what is to come. It runs
inside cocotb's simulator alone.
"""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly

__all__ = ["LIMIT", "Scoreboard", "Streams", "pack"]

LIMIT = 100_000
"""Cycles after which something hangs."""


class Streams:
    """The streams of a component, each of which waits when it likes.

    They are driven at the falling edge of ``clk``; what is then offered and accepted moves at the
    rising one. A word once offered stays. Random numbers are those of `random`, which cocotb seeds.

    Parameters
    ----------
    dut : handle of the component
        Has ``clk`` and ``rst``.
    inputs, outputs : sequence of str
        Streams that it reads, and that it writes.
    waiting : float
        Chance that a stream waits in a cycle, 0 to less than 1.
    drives : bool
        False if somebody else drives them: it is only told what moves.
    signed : sequence of str
        Streams whose words are read as signed numbers.

    Attributes
    ----------
    queues : dict
        Input -> words that wait; packed, if a word has fields (`pack`).
    waiting : float
    """

    def __init__(
        self,
        dut: Any,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        waiting: float = 0.0,
        *,
        drives: bool = True,
        signed: Sequence[str] = (),
    ):
        self.dut, self.waiting = dut, waiting
        self.queues: dict[str, deque[int]] = {name: deque() for name in inputs}
        self._outputs, self._drives, self._signed = outputs, drives, signed
        self._offered = dict.fromkeys(inputs, False)

    def send(self, stream: str, words: Iterable[int]) -> None:
        """Let words wait for their turn."""
        self.queues[stream].extend(words)

    async def reset(self) -> None:
        """Forget all words, and reset the component for two cycles."""
        for queue in self.queues.values():
            queue.clear()
        await self.rest()
        self.dut.rst.value = 1
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def rest(self) -> None:
        """Offer and accept nothing, from the next falling edge on: ports may be driven then."""
        await FallingEdge(self.dut.clk)
        for name in self.queues:
            self._offered[name] = False
            self._port(name, "valid").value = 0
        for name in self._outputs:
            self._port(name, "ready").value = 0

    async def cycle(self) -> list[tuple[str, int]]:
        """Run a cycle; return (stream, word) of all that moves in it, inputs first.

        Nothing may be driven when it returns, before the next falling edge.
        """
        await FallingEdge(self.dut.clk)
        if self._drives:
            self._drive()
        await ReadOnly()
        moved = []
        for name in (*self.queues, *self._outputs):
            if not (int(self._port(name, "valid").value) and int(self._port(name, "ready").value)):
                continue
            if self._drives and name in self.queues:
                moved.append((name, self.queues[name].popleft()))
                self._offered[name] = False
            else:
                word = self._port(name, "payload").value
                moved.append((name, word.to_signed() if name in self._signed else int(word)))
        return moved

    def _drive(self) -> None:
        """Offer words, and room for words; or not."""
        for name, queue in self.queues.items():
            offered = bool(queue) and (self._offered[name] or self._goes())
            self._offered[name] = offered
            self._port(name, "valid").value = offered
            if offered:
                payload = self._port(name, "payload")
                payload.value = queue[0] & ((1 << len(payload)) - 1)
        for name in self._outputs:
            self._port(name, "ready").value = self._goes()

    def _goes(self) -> bool:
        return random.random() >= self.waiting

    def _port(self, stream: str, part: str) -> Any:
        return getattr(self.dut, f"{stream}__{part}")


class Scoreboard:
    """What streams are to give, word by word.

    A subclass that is fed by a golden model overrides `went_in`: it runs the model on what the
    component takes, and calls `expect`.
    """

    def __init__(self) -> None:
        self.expected: dict[str, deque[int]] = {}
        self.count = 0
        """Words compared."""

    def expect(self, stream: str, words: Iterable[int]) -> None:
        """Say what is to come next out of a stream."""
        self.expected.setdefault(stream, deque()).extend(words)

    def went_in(self, stream: str, word: int) -> None:
        """Take note of a word that the component took."""

    def came_out(self, stream: str, word: int) -> None:
        """Compare a word that the component gave."""
        waiting = self.expected.get(stream)
        assert waiting, f"{stream}: expected no more words, got {word:#x}"
        wanted = waiting.popleft()
        assert word == wanted, f"{stream}: expected {wanted:#x}, got {word:#x}"
        self.count += 1

    @property
    def done(self) -> bool:
        """Whether all has come that was expected."""
        return not any(self.expected.values())

    async def cycle(self, streams: Streams) -> None:
        """Run a cycle, and take note of what moves in it."""
        for stream, word in await streams.cycle():
            if stream in streams.queues:
                self.went_in(stream, word)
            else:
                self.came_out(stream, word)

    async def finish(self, streams: Streams, limit: int = LIMIT) -> None:
        """Run until all words are in, and all that was expected is out; then the streams rest.

        Raises
        ------
        AssertionError
            A word is not the one expected; or there is no end.
        """
        for _ in range(limit):
            await self.cycle(streams)
            if self.done and not any(streams.queues.values()):
                await streams.rest()
                return
        waiting = {name: len(queue) for name, queue in {**streams.queues, **self.expected}.items()}
        left = ", ".join(f"{count} of {name}" for name, count in waiting.items() if count)
        raise AssertionError(f"no end after {limit} cycles: {left}")


def pack(layout: Any, fields: dict[str, Any]) -> int:
    """Return a word with fields, an Amaranth layout, as the number on its port."""
    return layout.const(fields).as_value().value
