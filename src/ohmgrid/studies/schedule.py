"""When what is done: the order of work of a core, as a model of events.

Four threads share a clock, as four things are done at a time in the gateware: the *steps* of the
table, one after the other, with the verbs that have the array; the pulser's *planning* of the next
update, and its *passes*, which make trains; the *taker*, which takes the next example. How long a
thing takes is asked of `Latencies` and of the golden twin of a sweep; what it depends on comes from
`Facts`. Ageing and refreshes are left out.
"""

import heapq
from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import NamedTuple

from ohmgrid.registers.layout import Place
from ohmgrid.registers.steps import ARRAY_BITS, Bank, Func, Step, StepVerb, Until
from ohmgrid.studies.facts import Facts, Updated
from ohmgrid.studies.latencies import Latencies
from ohmgrid.studies.multiplication import Multiplication, sweep

__all__ = ["PARTS", "Schedule"]

PARTS = ("take", "forward", "loss", "backward", "update", "answer")
"""What an example's cycles are counted for: the verbs, and the wait until its answer is out."""

Thread = Generator[int, None, None]
"""Gives the cycles until it has to be asked again."""


TAKER = 3
"""Turn of the taker in a cycle: before the steps."""


class Planned(NamedTuple):
    """What planning hands over to the passes."""

    array: int
    facts: Updated
    own: bool
    """It is for the update at work, which waits."""
    resumes: bool
    """Its trains are there."""


class Schedule:
    """Runs a step table on facts instead of numbers.

    Parameters
    ----------
    latencies : Latencies
    places : sequence of Place
    facts : sequence of Facts
        Of each array, in the order of its operations.
    rate_shift : int
        `ohmgrid.registers.edge.PulseRegisters.rate_shift`.

    Attributes
    ----------
    cycles : Counter
        Of each of `PARTS`, once it has run.
    marks : list of Counter
        What they were when each mini-batch had ended.
    now : int
        Cycles since its beginning.
    """

    def __init__(
        self,
        latencies: Latencies,
        places: Sequence[Place],
        facts: Sequence[Facts],
        rate_shift: int,
    ) -> None:
        self._latencies, self._places = latencies, places
        self._rate_shift = rate_shift
        config = latencies.config
        self._physics = config.build.read_physics
        self._computed = config.build.computed_keys
        self._serial = latencies.device.serial
        self._plans = config.pulses.one_chunk
        self._facts = [
            {
                "forward": iter(of.forward),
                "backward": iter(of.backward),
                "update": iter(of.update),
                "plan": iter(of.update),
            }
            for of in facts
        ]
        self._multiplications = [Multiplication(latencies, place) for place in places]
        self.now = 0
        self.cycles: Counter[str] = Counter()
        self.marks: list[Counter[str]] = []
        self._threads: list[tuple[int, int, Thread]] = []
        # What threads know of each other.
        self._loaded, self._moving = 0, (0, 0)
        self._key_free = self._counters_free = self._added = 0
        self._coding: deque[tuple[int, int]] = deque()
        self._queue: deque[int] = deque()
        # Arrays whose update is being planned, that whose activations are still wanted, and that
        # whose update is planned.
        self._pending: set[int] = set()
        self._reading: set[int] = set()
        self._ready: set[int] = set()
        self._plan_of: dict[int, Updated] = {}
        self._planned: Planned | None = None
        # Array that an update wants something of, and whether its trains are there; then, chunk,
        # and whether keys alone are wanted.
        self._wanted: tuple[int, bool] | None = None
        self._next: tuple[int, bool] | None = None
        self._asked, self._served = False, False
        self._taking, self._ended = False, False

    def run(self, steps: Sequence[Step], examples: int, batch: int) -> None:
        """Run a table that trains on so many examples in mini-batches."""
        # In a cycle those come first whom others wait for: they see what has been done.
        threads = self._planning(), self._passes(), self._steps(steps, examples, batch)
        self._threads = [(0, 2 * number, thread) for number, thread in enumerate(threads)]
        while not self._ended:
            self.now, number, thread = heapq.heappop(self._threads)
            wait = next(thread, None)
            if wait is not None:
                heapq.heappush(self._threads, (self.now + wait, number, thread))

    # ---- steps of the table

    def _steps(self, steps: Sequence[Step], examples: int, batch: int) -> Thread:
        fixed, at, left, slot, filled, found = self._latencies.fixed, 0, examples, 0, 0, True
        while True:
            step = steps[at]
            at += 1
            yield fixed.decode
            while self._taking and not self._goes_on(step):
                yield 1
            yield 1
            match step.verb:
                case StepVerb.END:
                    break
                case StepVerb.TAKE if step.cond:
                    found = left > 0
                    if found:
                        left -= 1
                        self._taking = True
                        taker = self._taker(_array(step))
                        heapq.heappush(self._threads, (self.now + 1, TAKER, taker))
                        yield 1
                case StepVerb.TAKE:
                    left -= 1
                    yield 1
                    yield from self._do(step)
                case StepVerb.COUNT:
                    yield from self._answered("answer")
                case StepVerb.PLAN:
                    if self._plans:
                        self._queue.append(step.array)
                        self._pending.add(step.array)
                        self._reading.add(step.array)
                    yield 1
                case StepVerb.LOOP:
                    while self._pending:
                        yield 1
                    yield 1
                    more = left > 0
                    if step.cond in (Until.FILLED, Until.DRAINED):
                        self._ready.clear()
                    if step.cond == Until.TAKEN:
                        more = found
                    if step.cond in (Until.TAKEN, Until.EXAMPLES):
                        self.marks.append(self.cycles.copy())
                    if step.cond == Until.FILLED:
                        filled, more = slot + 1, left > 0 and slot + 1 < batch
                    if step.cond == Until.DRAINED:
                        more = slot + 1 < filled
                    if step.cond in (Until.FILLED, Until.DRAINED):
                        slot = slot + 1 if more else 0
                    at = step.dst if more else at
                case _:
                    yield from self._do(step)
        self._ended = True

    def _goes_on(self, step: Step) -> bool:
        """Return whether a step may be done while an example is being taken."""
        if step.verb == StepVerb.PULSE:
            return step.array in self._pending or step.array in self._ready
        return step.verb == StepVerb.LOOP and step.cond not in (Until.FILLED, Until.DRAINED)

    def _held(self, step: Step) -> bool:
        """Return whether a step writes to a vector that an update is being planned from."""
        if self._physics:
            return bool(self._pending)
        read = {Bank.X: self._reading, Bank.D: self._pending}
        return _array(step) in read.get(Bank(step.dst >> ARRAY_BITS), ())

    def _do(self, step: Step) -> Thread:
        """Do a step that the core has a command for."""
        latencies, verb = self._latencies, step.verb
        array = _array(step) if verb == StepVerb.TAKE else step.array
        while self._held(step):
            yield 1
        yield 1
        if self._loaded != array:
            # The words move until two cycles before it is at work.
            self._moving = self.now + 1, self.now + latencies.entry
            self._loaded = array
            yield latencies.entry + 1
        else:
            yield 2
        yield latencies.fixed.settle
        place = self._places[array]
        if verb == StepVerb.TAKE:
            yield latencies.fixed.loader + place.cols - 1 + latencies.fixed.heard
            yield from self._answered("take")
        elif verb == StepVerb.MAC:
            name = "backward" if step.way else "forward"
            yield from self._multiply(array, name, step)
            yield from self._answered(name)
        elif verb == StepVerb.LOSS:
            yield from self._loss(place.rows, step.func & 7 == Func.SHARE)
            yield from self._answered("loss")
        else:
            yield from self._update(array)
            yield from self._answered("update")

    def _answered(self, name: str) -> Thread:
        """Wait for the counters, and have them count."""
        while self.now < self._counters_free:
            yield 1
        self.cycles[name] += self.now - self._added
        self._added, self._counters_free = self.now, self.now + self._latencies.counters + 1
        yield 1

    def _verb_key(self) -> int:
        """Return the cycles in which a verb gets an operation's key."""
        self._key_free = max(self.now + 1, self._key_free) + self._latencies.key
        return self._key_free + 1 - self.now

    def _multiply(self, array: int, name: str, step: Step) -> Thread:
        multiplication = self._multiplications[array]
        backward = name == "backward"
        yield 1
        yield self._verb_key()
        times = multiplication.times(next(self._facts[array][name]), backward, self.now)
        for begin, count in times.coding:
            self._coding.append((begin, begin + count))
        latencies = self._latencies
        yield times.result - self.now + latencies.functions + 2
        yield latencies.settle + latencies.fixed.brought - 2 + latencies.fixed.heard

    def _loss(self, rows: int, share: bool) -> Thread:
        latencies = self._latencies
        # The last result, and what is made of it.
        yield 1 + latencies.send_all(rows) + latencies.functions + 3
        if share:
            begins = latencies.fixed.begins
            self._coding.append((self.now + 2 + begins, self.now + 2 + begins + rows))
            yield 1 + begins + latencies.lines.cycles(rows) + 1
            yield latencies.settle + 1 + latencies.fixed.heard
        else:
            yield max(latencies.settle, latencies.squares) + 1 + latencies.fixed.heard

    # ---- an update

    def _update(self, array: int) -> Thread:
        latencies, place = self._latencies, self._places[array]
        facts: Updated = next(self._facts[array]["update"])
        yield 1
        while array in self._pending:
            yield 1
        planned = array in self._ready
        alone = planned and (self._computed or not self._serial)
        if not alone:
            self._wanted, self._served = (array, planned), False
        yield 1
        if not alone:
            yield from self._wait_served()
        yield 1
        drain = latencies.array.drain(True)
        for number, chunk in enumerate(facts.chunks):
            for slot, hits in enumerate(chunk.sweeps):
                if not (number or slot):
                    if self._computed:
                        yield self._verb_key()
                elif not (slot and self._computed):
                    # Trains of another chunk, or keys of another slot.
                    self._next, self._served = (number, slot > 0), False
                    yield from self._wait_served()
                yield 1
                yield sweep(latencies.config, place, chunk.listed, hits=hits).total + drain + 2
                yield 1
        self._wanted, self._asked = None, False
        if planned:
            self._ready.discard(array)
        yield 1 + latencies.fixed.heard

    def _wait_served(self) -> Thread:
        """Wait until the pulser has done what the update at work wants."""
        while not self._served:
            yield 1
        yield 1

    # ---- beside them

    def _taker(self, array: int) -> Thread:
        """Take an example: its label, and its inputs, once no update needs those before."""
        yield 2
        keyed = self._serial and not self._computed
        while array in self._reading or (keyed and array in self._pending | self._ready):
            yield 1
        yield self._latencies.fixed.taker + self._places[array].cols - 1
        self._taking = False

    def _planning(self) -> Thread:
        """Plan updates, one after the other; hand each over to the passes."""
        latencies = self._latencies
        while True:
            while (self._wanted is None or self._asked) and not self._queue:
                yield 1
            own = self._wanted is not None and not self._asked
            array, resumes = (
                self._wanted if own and self._wanted else (self._queue.popleft(), False)
            )
            yield 1
            yield from self._fetch()
            if not resumes:
                self._plan_of[array] = next(self._facts[array]["plan"])
            facts = self._plan_of[array]
            # The key and the plan, at the same time.
            planned = self.now + latencies.plan(self._rate_shift, facts.nothing)
            yield 1
            # A verb that asks goes first.
            while self.now < self._key_free:
                yield 1
            self._key_free = self.now + latencies.key
            yield max(self._key_free, planned) + 2 - self.now
            self._planned = Planned(array, facts, own, resumes)
            self._asked |= own
            yield 1
            while self._planned is not None:
                yield 1

    def _passes(self) -> Thread:
        """Make trains, and for the update at work what else it wants."""
        while True:
            while self._planned is None:
                yield 1
            (array, facts, own, resumes), self._planned = self._planned, None
            yield 1
            if facts.bl and not resumes:
                yield from self._sides(array, facts, 0)
            if not own:
                yield 1
                self._pending.discard(array)
                self._reading.discard(array)
                self._ready.add(array)
                continue
            self._served = True
            yield 1
            while self._wanted is not None:
                if self._next is None:
                    yield 1
                    continue
                (chunk, keys), self._next = self._next, None
                yield from self._sides(array, facts, chunk, keys)
                self._served = True
                yield 1

    def _fetch(self) -> Thread:
        """Read the words of an entry, anew if others move."""
        read = 0
        yield 1
        while read < self._latencies.fetch:
            moves = self._moving[0] <= self.now < self._moving[1]
            read = 0 if moves else read + 1
            yield 1
        yield self._latencies.fixed.fetched

    def _sides(self, array: int, facts: Updated, chunk: int, keys: bool = False) -> Thread:
        """Make trains, or keys alone, of columns and of rows."""
        place = self._places[array]
        columns = facts.columns if place.turned else place.cols
        yield from self._pass(columns, facts, chunk, False, keys)
        # Activations may be written over then.
        self._reading.discard(array)
        yield from self._pass(place.rows * place.devices, facts, chunk, True, keys)

    def _pass(self, lines: int, facts: Updated, chunk: int, row: bool, keys: bool) -> Thread:
        """Let lines have their turns where no pass of codes has."""
        latencies = self._latencies
        pace = 1 if keys else latencies.pace(facts.bl, row, chunk)
        yield 1
        for line in range(lines):
            while self._codes_have_turns():
                yield 1
            if line < lines - 1:
                yield pace
        yield latencies.last_key() if keys else latencies.last_train(pace)

    def _codes_have_turns(self) -> bool:
        """Return whether lines of a pass of codes have their turns now."""
        while self._coding and self._coding[0][1] <= self.now:
            self._coding.popleft()
        return any(begin <= self.now < end for begin, end in self._coding)


def _array(step: Step) -> int:
    """Return the array whose vector a step writes."""
    return step.dst & (1 << ARRAY_BITS) - 1
