"""Random step tables, registers, streams that end, resets: gateware beside the golden interpreter.

Whatever comes, the gateware answers, with error bits that are documented, and afterwards trains as
it should. What the golden interpreter defines (`ohmgrid.model.core.sequencer`), the gateware does
to the bit: answers, results, counters, cells and the numbers of operations, up to the step that
cannot be done, which changes nothing.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from ohmgrid.config import BuildConfig, Config, LayoutConfig
from ohmgrid.counters import Counters
from ohmgrid.devices.base import Device
from ohmgrid.host.driver import command_words
from ohmgrid.host.protocol import EXAMPLES_BITS, Answer, Error, Op, command
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.order import IllegalStep, Order, UndefinedStep
from ohmgrid.model.core.sequencer import Sequencer
from ohmgrid.net import Net
from ohmgrid.registers import orders
from ohmgrid.registers.arrays import ENTRIES
from ohmgrid.registers.map import CORE, DEVICE, TABLES, TRAINER
from ohmgrid.registers.meters import ARRAY_FIELDS, FIELDS, METER_BITS
from ohmgrid.registers.steps import WIDTHS, Step, StepVerb, Until
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.studies.fuzzing import Fault

__all__ = ["BUILD", "StepFuzz"]

BUILD = BuildConfig(
    lanes=2,
    share=2,
    words=64,
    inputs=32,
    outputs=32,
    edge=3,
    **dict.fromkeys(("curve", "power", "step_tables", "write_noise"), False),
    **dict.fromkeys(("references", "read_physics", "time"), False),
)
"""A small core."""
NET = Net((4, 3, 2))
RATE = 0.05
PATIENCE = 2_000_000
"""Cycles after which a run is taken for one that hangs: a table of 128 steps takes far fewer."""
KNOWN = (0, Error.ILLEGAL, Error.SHAPE, Error.ILLEGAL | Error.SHAPE)
"""Errors that anything may end with; a cell that is written while it is read is a fault."""
KINDS = ("defined", "illegal", "undefined", "registers", "truncated")
NUMBERS = sorted(
    {register.number for group in (CORE, DEVICE) for register in group.values()}
    | {*TABLES.values(), *TRAINER.values()}
)


def _differ(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Fault(f"{what}: expected {expected}, got {got}")


class StepFuzz:
    """A golden core and a gateware one, run side by side.

    Parameters
    ----------
    seed : int
    build : BuildConfig
    device : Device or None
        None: that of a configuration that names none.
    turned : tuple of int
        Layers that lie turned.

    Attributes
    ----------
    kinds : dict
        How many tables were ``defined``, ``illegal`` and ``undefined``, and how many ``registers``
        and ``truncated`` runs there were.
    """

    def __init__(
        self,
        seed: int,
        build: BuildConfig = BUILD,
        device: Device | None = None,
        turned: tuple[int, ...] = (),
    ) -> None:
        self._rng = np.random.default_rng(seed)
        config = Config(seed=4, build=build, layout=LayoutConfig(turned))
        if device is not None:
            config = config.replace(device=device)
        self.golden, self.found = Core(config, NET), RtlCore(config, NET)
        golden = self.golden
        self._golden = Sequencer(config, golden.tiles, golden.scales, golden.table)
        self.kinds: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._start = [
            state._replace(
                weights=self._rng.integers(-9000, 9000, state.weights.shape, dtype=np.int32)
            )
            for state in golden.state()
        ]
        self.reload()

    # States and examples

    def reload(self) -> None:
        """Load the first state into both cores."""
        for core in (self.golden, self.found):
            core.load(self._start)
        # What a table or a command wrote is not what the host takes for loaded.
        self.found.forget_tables()
        self._base = self._counts()
        self.golden.counters = Counters(len(NET.shapes))

    def _counts(self) -> np.ndarray:
        """Return the counters of the gateware (int64, shape (layers, fields))."""
        found, fields = self.found, len(ARRAY_FIELDS)
        arrays = range(len(found.gateware.places))
        places = [(row, field) for row in arrays for field in range(fields)]
        counts = np.array(found.gateware.driver.counters(places), np.int64)
        return found.by_layer(counts.reshape(-1, fields))[:, : len(FIELDS)]

    def _examples(self, examples: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = self._rng.integers(-32767, 32768, (examples, NET.layers[0]))
        pixels >>= self._rng.integers(0, 16)
        pixels[self._rng.random(pixels.shape) < 0.3] = 0
        return pixels, self._rng.integers(0, NET.layers[-1], examples)

    def compare(self) -> None:
        """Compare cells and counters."""
        for layer, tiles in enumerate(zip(self.golden.tiles, self.found.tiles, strict=True)):
            one, other = (tile.state() for tile in tiles)
            _differ(f"cells of layer {layer}", one.weights.tolist(), other.weights.tolist())
            # How many operations there were the host counts, which gave no command here.
            for name in one.hidden.keys() - {"transfer_steps", "slow_pulses"}:
                hidden = (state.hidden[name].tolist() for state in (one, other))
                _differ(f"{name} of layer {layer}", *hidden)
        counted = (self._counts() - self._base) % (1 << METER_BITS)
        _differ("counters", self.golden.counters.counts.tolist(), counted.tolist())

    def train(self) -> None:
        """Train both as a net is trained, and compare: noise shows the numbers of operations."""
        pixels, labels = self._examples(2)
        one, other = (core.answers(pixels, labels, RATE) for core in (self.golden, self.found))
        _differ("answers of training", one, other)
        self.compare()

    def block(self, tables: int) -> None:
        """Run tables, and with every tenth one registers and a truncated run; then train."""
        for number in range(tables):
            self.table()
            if number % 10 == 9:
                self.registers()
                self.truncated()
        self.train()

    # Tables

    def random_step(self) -> Step:
        """Return any step: each field is small, or any."""
        rng = self._rng
        values = {
            name: int(rng.integers(min(4, 1 << bits) if rng.random() < 0.6 else 1 << bits))
            for name, bits in WIDTHS.items()
        }
        if rng.random() < 0.7:
            values["verb"] = int(rng.choice([*StepVerb]))
        return Step(**values)

    def random_table(self) -> list[Step]:
        """Return a table of a net, with random faults in it, or random steps alone."""
        rng = self._rng
        if rng.random() < 0.1:
            return [self.random_step() for _ in range(rng.integers(1, 20))] + [Step()]
        layers, net = len(NET.shapes), (NET.activation, NET.softmax)
        columns, buffered = self.golden.columns, self.golden.buffered
        batch, ahead = int(rng.integers(1, 3)), bool(rng.integers(2))
        tables = [
            orders.training(layers, *net, batch, ahead, columns, buffered),
            orders.training(layers, *net, columns=columns, buffered=buffered),
            orders.testing(layers, NET.activation),
            orders.predicting(layers, NET.activation),
            orders.sensing(layers, *net),
        ]
        if not columns:
            tables.append(orders.hosted(layers, NET.activation))
        table = list(tables[rng.integers(len(tables))])
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            self._spoil(table)
        return table

    def _spoil(self, table: list[Step]) -> None:
        """Change a table at a random place."""
        rng = self._rng
        at = int(rng.integers(len(table)))
        match rng.integers(6):
            case 0 if len(table) > 1:
                del table[at]
            case 1:
                table.insert(at, table[rng.integers(len(table))])
            case 2:
                table.insert(at, self.random_step())
            case 3:
                other = self.random_step()
                name = fields(Step)[rng.integers(len(fields(Step)))].name
                table[at] = replace(table[at], **{name: getattr(other, name)})
            case 4:
                dst, cond = int(rng.integers(len(table))), int(rng.choice([*Until]))
                table.insert(at, Step(StepVerb.LOOP, dst=dst, cond=cond))
            case _:
                table[at] = replace(table[at], verb=int(rng.integers(32)))

    def table(self) -> None:
        """Run a random table on both cores and compare."""
        steps, examples = self.random_table(), int(self._rng.integers(0, 5))
        batch = int(self._rng.integers(1, self.found.config.build.edge + 1))
        pixels, labels = self._examples(examples)
        words: list[int] = []
        results: list[np.ndarray] = []
        label = iter(labels.tolist())

        def watch(step: str, layer: int, what: str, values: np.ndarray) -> None:
            if step == "take":
                words.extend([next(label), *values.tolist()])
            elif step == "wait":
                words.extend(values.tolist())

        def host(y: np.ndarray) -> np.ndarray:
            results.append(y)
            return (y >> 4) % 4001 - 2000

        order, error = Order(batch, RATE, self.golden.counters, host, watch), 0
        try:
            answers = self._golden.run(steps, pixels, labels, order)
        except UndefinedStep:
            self.kinds["undefined"] += 1
            self._any_end(steps, batch, examples)
            self.reload()
            return
        except IllegalStep as illegal:
            answers, error = illegal.answers, int(Error.ILLEGAL)
            if illegal.no_array:
                error |= Error.SHAPE
                if steps[illegal.at].verb == StepVerb.TAKE:
                    words.append(next(label))
        self.kinds["illegal" if error else "defined"] += 1
        self.found.load_table(steps, RATE)
        run = command(Op.RUN, 1, batch << EXAMPLES_BITS | examples)
        sent = np.concatenate([np.zeros(0, np.int64), *results]).tolist()
        found, came = self._transact([run], words, len(sent), len(answers) + 1)
        _differ("error bits", error, came[-1].error)
        for answer, other in zip(answers, came, strict=False):
            _differ("hit", int(answer.hit), other.passes)
            # Without a loss in this run the word is that of another.
            if answer.word:
                _differ("word of an answer", answer.word, other.saturated)
        _differ("results", sent, found)
        self.compare()

    def _transact(
        self, commands: list[int], words: Sequence[int], results: int, answers: int
    ) -> tuple[list[int], list[Answer]]:
        """Send commands and words; return results and answers: as many as are expected."""
        link = self.found.gateware.instance
        try:
            out, _ = link.transact(
                {"cmd": command_words(commands), "i": np.array(words, np.int64)},
                {"o": results, "r": answers},
                max_cycles=PATIENCE,
            )
        except TimeoutError as error:
            raise Fault(f"other words than expected: {error}") from None
        link.step(8)
        for port in ("busy", "r__valid", "o__valid"):
            _differ(f"{port} after the last answer", 0, link.get(port))
        signed = out["o"].view(np.int64) << 24 >> 24
        return signed.tolist(), [Answer.decode(int(word)) for word in out["r"]]

    # Anything

    def _any_end(self, steps: list[Step], batch: int, examples: int) -> None:
        """Run a table that means nothing: it ends."""
        self.found.load_table(steps, RATE)
        self.answer(command(Op.RUN, 1, batch << EXAMPLES_BITS | examples))

    def answer(self, word: int) -> int:
        """Send a command, words without end, and take all that comes; return its error bits."""
        rng, link = self._rng, self.found.gateware.instance
        link.transact({"cmd": command_words([word])}, {}, PATIENCE)
        # What is refused is answered, of silent commands too.
        if word & 255 == Op.SET or (word & 255 == Op.ENTRY and word >> 8 & 255 < ENTRIES):
            return 0
        for name, value in (("i__valid", 1), ("o__ready", 1)):
            link.set(name, value)
        begin = link.cycles
        try:
            while True:
                # A word that stays until it is taken, then perhaps another.
                link.set("i__payload", int(rng.integers(-(1 << 17), 1 << 17)))
                link.step(int(rng.integers(20, 200)))
                if link.get("r__valid"):
                    answer = Answer.decode(link.get("r__payload"))
                    link.set("r__ready", 1)
                    link.step()
                    link.set("r__ready", 0)
                    if answer.op == word & 255:
                        break
                if link.cycles - begin > PATIENCE:
                    raise Fault(f"op {word & 255} hangs")
        finally:
            for name in ("i__valid", "o__ready"):
                link.set(name, 0)
        error = answer.error if answer.op != Op.COUNTER else 0
        if error not in KNOWN:
            raise Fault(f"op {answer.op}: expected known error bits, got {error}")
        return error

    def registers(self) -> None:
        """Write registers and tables at random, known ones and others; then give commands."""
        rng = self._rng
        for _ in range(rng.integers(1, 12)):
            number = int(rng.choice(NUMBERS) if rng.random() < 0.8 else rng.integers(256))
            bits = int(rng.integers(1, 65))
            data = (0, (1 << bits) - 1, int(rng.integers(1 << 63)) >> 64 - bits)[rng.integers(3)]
            self.answer(command(Op.SET, number, data))
        for _ in range(rng.integers(1, 6)):
            op = int(rng.choice([*Op]) if rng.random() < 0.8 else rng.integers(256))
            arg = int(rng.integers(3) if rng.random() < 0.7 else rng.integers(256))
            # No run of four billion examples: that is no hang.
            data = int(rng.integers(4)) << EXAMPLES_BITS | int(rng.integers(4))
            self.answer(command(Op(op), arg, data) if op in {*Op} else op | arg << 8 | data << 16)
        self.kinds["registers"] += 1
        self.found.gateware.reset(0)
        self.answer(command(Op.SETUP, 0))
        self.reload()
        self.train()

    def truncated(self) -> None:
        """Begin a run whose words end, at any moment; a reset, and it trains as it should."""
        rng, link = self._rng, self.found.gateware.instance
        steps, examples = orders.training(len(NET.shapes), NET.activation, NET.softmax), 3
        self.found.load_table(steps, RATE)
        pixels, labels = self._examples(examples)
        words = np.column_stack([labels, pixels]).ravel()
        given = words[: rng.integers(1, len(words))]
        run = command(Op.RUN, 1, 1 << EXAMPLES_BITS | examples)
        wanted = {"r": int(rng.integers(0, examples + 2))}
        try:
            link.transact(
                {"cmd": command_words([run]), "i": given},
                wanted,
                max_cycles=int(rng.integers(1, 9000)),
            )
        except TimeoutError:
            # Words that it waits for, or answers that nobody takes.
            pass
        else:
            if wanted["r"] > examples:
                raise Fault("a run of three examples ended without all of its words")
        self.kinds["truncated"] += 1
        self.found.gateware.reset(int(rng.integers(1, 4)))
        self.reload()
        self.train()
