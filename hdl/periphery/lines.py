"""Line values: from activations and errors at the edge to DAC codes, pulse trains and keys.

Each side (columns: activations, rows: errors) has an edge buffer and memories that the sweep
reads. A *pass* goes through the lines of one side and fills some of those memories.
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.periphery.converters import DIVISOR_BITS, Scaler
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.values import keys_layout, line_cycles, list_layout, values_layout
from ohmgrid.hdl.periphery.voltages import POWER_BITS, Voltages, code_bits
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["Lines", "pass_layout"]

SIDES = ("column", "row")


def pass_layout(config: Config) -> data.StructLayout:
    """Return the layout of what is done to lines; constant while a pass is `busy`, but for strobes.

    ``side`` (0: columns, 1: rows): the array's ``count`` lines from the ``first`` one on; of
    ``paired`` rows, devices in a pass of trains or keys. ``turned``: the columns are serial.

    ``clear`` (strobe): a new vector of that side follows; ``take`` (strobe) takes its next value.

    ``start`` (strobe): begin a pass, one line every ``pace`` cycles, that writes ``codes`` or
    ``trains``, ``static_keys`` or ``cycle_keys``. ``factor``, ``divisor``, ``top``: scale of a
    magnitude, DAC code or firing probability. ``sub``: slot or number of the pass, for keys and
    voltages. ``bl``, ``chunk``, ``mode``: slots, part and pulse type of trains. ``drive``: codes
    pass the DACs' non-idealities on their way, ``part`` says what they then are; ``exact``: codes
    are the values themselves, without the fraction bits of a voltage (both in a build with
    ``read_physics``).
    """
    lines = config.build.lines
    return data.StructLayout(
        {
            **{"side": 1, "count": range(lines + 1), "first": range(lines)},
            **{"paired": 1, "turned": 1, "clear": 1, "take": 1, "start": 1},
            **dict.fromkeys(("codes", "trains", "static_keys", "cycle_keys"), 1),
            **{"factor": FACTOR_BITS, "divisor": DIVISOR_BITS, "top": 17, "pace": 7, "sub": 8},
            **{"bl": BL_BITS, "chunk": 3, "mode": 2, "drive": 1, "exact": 1, "part": 2},
        }
    )


class Lines(wiring.Component):
    """Edge buffers and line memories of both sides, and the pass that fills them.

    Lines have numbers in these memories: those of an array begin at ``first``. Of pairs, rows have
    two devices, 2 i and 2 i + 1 of line i, with keys of their own and the same train.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(pass_layout)
    value : In
        What ``job.take`` takes into the edge buffer.
    taken : Out(1)
        That value was the last.
    column_max, row_max : Out
        Largest magnitudes of the vectors taken last, two cycles after the last value.
    inp_noise, ... : In
        Of `ohmgrid.hdl.periphery.voltages.Voltages`.
    power : Out
        Sum of a vector of powers.
    key : In
        Operation key, for keys, trains and voltages.
    keys : In(keys_layout)
        For keys that are computed while a sweep reads lines (a build with ``computed_keys``).
    busy : Out(1)
    list : Out(list_layout)
        The lines of the serial side that have a code, or a train with pulses.
    row_line, row_key, column_line : In
        Addresses: of rows, that of a line and that of its device.
    rows, columns : Out(values_layout)
        What is known of them, `line_cycles` later.
    """

    def __init__(self, config):
        self.config = config
        build = config.build
        self._depths = (build.inputs, build.outputs)
        super().__init__(
            {
                "job": In(pass_layout(config)),
                "value": In(signed(config.formats.edge_bits)),
                "taken": Out(1),
                "column_max": Out(config.formats.edge_bits),
                "row_max": Out(config.formats.edge_bits),
                **{name: In(READ_BITS[name]) for name in Voltages.REGISTERS},
                "power": Out(POWER_BITS),
                "key": In(64),
                "keys": In(keys_layout(config)),
                "busy": Out(1),
                "list": Out(list_layout(config)),
                "row_line": In(range(build.outputs)),
                "row_key": In(range(build.outputs)),
                "column_line": In(range(build.inputs)),
                "rows": Out(values_layout(config)),
                "columns": Out(values_layout(config)),
            }
        )
        self._scaler = Scaler(
            config.formats.edge_bits, factor_bits=FACTOR_BITS, divisor_bits=DIVISOR_BITS
        )
        self._line_key = LineKey()
        self._voltages = Voltages()
        self._maker = TrainMaker(build.train_groups)

    def cycles(self, count, pace=1, steps=0, drive=False):
        """Return the cycles that `busy` is high in a pass over ``count`` lines.

        Parameters
        ----------
        count : int
        pace : int
        steps : int
            Cycles that the last line's train takes (`TrainMaker.steps`); 0 for a pass without
            trains.
        drive : bool
        """
        coded = self._scaler.latency + 1
        last = max(coded, self._line_key.latency)
        if steps:
            last = coded + steps - 1 + self._maker.latency
        if drive:
            last = coded + self._line_key.latency + self._voltages.latency
        # Start, edge buffer and issue, the last line's way, and the three that notice its end.
        return 5 + (count - 1) * pace + last

    def elaborate(self, platform):
        m = Module()
        job = self.job
        m.submodules.scaler = scaler = self._scaler
        build = self.config.build
        # Keys of lines that are kept are made in passes, and those of inputs with noise.
        line_key = self._line_key
        if build.read_physics or not build.computed_keys:
            m.submodules.line_key = line_key
        m.submodules.trains = maker = self._maker
        # The settings stay for a whole pass: their choice ends in registers.
        held = delayed(m, job, "held")
        self._take(m, held)

        # One line every `pace` cycles: its value comes from the edge buffer in the next cycle.
        # Results come back in order, so each path counts its own, and where they go. Of pairs,
        # a pass of trains or keys goes through devices.
        doubled = job.paired & job.side & ~job.codes
        begin = Mux(doubled, job.first << 1, job.first)
        issue, coded, keyed, trained = (
            _Count(m, name, self.config, job.start, begin)
            for name in ("issued", "coded", "keyed", "trained")
        )
        twice = delayed(m, doubled, "twice")
        wait, running = Signal(len(job.pace)), Signal()
        issues = running & (wait == 0) & (issue.number != held.count)
        issue.moves(issues)
        with m.If(job.start):
            m.d.sync += [running.eq(1), wait.eq(0)]
        with m.Elif(issues):
            m.d.sync += wait.eq(held.pace - 1)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        valid, index = Signal(), Signal(16)
        m.d.sync += [valid.eq(issues), index.eq(issue.number)]

        code_valid = Signal(scaler.latency + 1)
        m.d.sync += code_valid.eq(code_valid << 1 | valid)
        code, stored = self._code(m, code_valid[-1])
        coded.moves(stored)
        keyed.moves(line_key.o_valid)
        trained.moves(maker.o.valid)

        # A register behind the edge buffers' block RAM.
        value = Signal(signed(self.config.formats.edge_bits), reset_less=True)
        negative = Signal(scaler.latency)
        m.d.sync += negative.eq(negative << 1 | (value < 0))
        m.d.comb += [
            scaler.value.eq(value),
            scaler.magnitude.eq(held.trains),
            scaler.factor.eq(held.factor),
            scaler.divisor.eq(held.divisor),
            scaler.top.eq(held.top),
            line_key.key.eq(self.key),
            line_key.index.eq(Mux(job.drive, self._driven, index)),
            line_key.sub.eq(job.sub),
            line_key.purpose.eq(
                Mux(job.drive, Purpose.INPUT, Mux(held.side, Purpose.ROW, Purpose.COLUMN))
            ),
            line_key.i_valid.eq(Mux(job.drive, code_valid[-1], valid)),
            maker.i.valid.eq(code_valid[-1] & held.trains),
            maker.i.payload.index.eq(Mux(twice, coded.number >> 1, coded.number)),
            maker.i.payload.probability.eq(scaler.code),
            maker.key.eq(self.key),
            maker.row.eq(held.side),
            maker.bl.eq(held.bl),
            maker.chunk.eq(held.chunk),
            maker.mode.eq(held.mode),
        ]

        train_line = Mux(twice, trained.line >> 1, trained.line)
        # A pass of trains leaves the sign of each line where its code would be.
        bits = code_bits(self.config)
        signs = held.trains & code_valid[-1]
        stores = {
            "code": (
                bits,
                (held.codes & stored) | signs,
                Mux(twice, coded.line >> 1, coded.line),
                Mux(held.trains, negative[-1].replicate(bits), code),
            ),
            "train": (SLOTS, maker.o.valid, train_line, maker.o.payload.word),
        }
        if not build.computed_keys:
            made = line_key.o_valid
            stores |= {
                "static": (64, held.static_keys & made, keyed.line, line_key.o),
                "cycle": (32, held.cycle_keys & made, keyed.line, line_key.o[:32]),
            }
        values = []
        for number, (side, depth) in enumerate(zip(SIDES, self._depths, strict=True)):
            here = held.side == number
            m.submodules[f"{side}_memories"] = memories = Module()

            def memory(name, bits, depth=depth, memories=memories):
                store = Memory(shape=unsigned(bits), depth=depth, init=[])
                memories.submodules[name] = store
                return store.write_port(), store.read_port()

            write, read = memory("edge", self.config.formats.edge_bits)
            m.d.comb += [
                write.en.eq(job.take & here),
                write.addr.eq(self._taken.line),
                write.data.eq(self.value),
                read.addr.eq(Mux(twice, issue.line >> 1, issue.line)),
            ]
            values.append(read.data.as_signed())

            found = self.rows if side == "row" else self.columns
            address = self.row_line if side == "row" else self.column_line
            keys = self.row_key if side == "row" else self.column_line
            for name, (bits, condition, where, word) in stores.items():
                write, read = memory(name, bits)
                m.d.comb += [
                    write.en.eq(here & condition),
                    write.addr.eq(where),
                    write.data.eq(word),
                    read.addr.eq(keys if name in ("static", "cycle") else address),
                ]
                word = delayed(m, read.data, f"{side}_{name}", line_cycles(self.config) - 1)
                m.d.comb += found[name].eq(word)
                if name == "code":
                    m.d.comb += found.sign.eq(word[-1])
            if build.computed_keys:
                self._keys(m, side, keys, found)
        m.d.sync += value.eq(Mux(held.side, values[1], values[0]))

        serial = held.side != held.turned
        made = maker.o.valid & maker.o.payload.word.any() & (~twice | trained.number[0])
        m.d.sync += [
            self.list.clear.eq(job.start & (job.trains | job.codes) & (job.side != job.turned)),
            self.list.put.eq(serial & (made | (held.codes & stored & (code != 0)))),
            self.list.line.eq(Mux(held.codes, coded.line, train_line)),
        ]

        # All paths see all lines, wanted or not, so that one condition ends every pass.
        finished = (
            (coded.number == held.count)
            & ((keyed.number == held.count) | build.computed_keys)
            & (~held.trains | (trained.number == held.count))
        )
        # A register: the way from all counters to whoever waits is long.
        ended = delayed(m, running & finished, "ended")
        with m.If(running & ended & ~job.start):
            m.d.sync += running.eq(0)
        m.d.comb += self.busy.eq(running | job.start)
        return m

    def _keys(self, m, side, address, found):
        """Compute the keys of the line at an address: `line_cycles` later they are there."""
        purpose = Purpose.ROW if side == "row" else Purpose.COLUMN
        index = delayed(m, address - self.keys[side], f"{side}_index")
        for name, key, number in (
            ("static", self.keys.static, 0),
            ("cycle", self.key, self.keys.sub),
        ):
            m.submodules[f"{side}_{name}"] = line_key = LineKey()
            m.d.comb += [
                line_key.key.eq(key),
                line_key.index.eq(index[: len(address)]),
                line_key.sub.eq(number),
                line_key.purpose.eq(purpose),
                found[name].eq(line_key.o),
            ]

    def _take(self, m, held):
        """A vector comes in: edge buffer and largest magnitude."""
        job = self.job
        self._taken = taken = _Count(m, "taken", self.config, job.clear, job.first)
        taken.moves(job.take)
        size = Mux(self.value < 0, -self.value, self.value)[: len(self.column_max)]
        magnitude, sized = delayed(m, size, "magnitude"), Signal()
        m.d.sync += sized.eq(job.take)
        m.d.comb += self.taken.eq(job.take & (taken.number == held.count - 1))
        for number, side in enumerate(SIDES):
            largest = getattr(self, f"{side}_max")
            with m.If(job.clear & (job.side == number)):
                m.d.sync += largest.eq(0)
            with m.Elif((held.side == number) & sized & (magnitude > largest)):
                m.d.sync += largest.eq(magnitude)

    def _code(self, m, valid):
        """Return what is stored as a line's code, and when: the DAC's code, or its operand.

        A line's key is made when its code is there, for that comes much later than the line.
        """
        self._driven = Signal(16)
        if not self.config.build.read_physics:
            return self._scaler.code, valid
        m.submodules.voltages = voltages = self._voltages
        line_key, job = self._line_key, self.job
        with m.If(job.start):
            m.d.sync += self._driven.eq(0)
        with m.Elif(valid):
            m.d.sync += self._driven.eq(self._driven + 1)
        m.d.comb += [
            voltages.first.eq(job.start),
            voltages.valid.eq(line_key.o_valid & job.drive),
            voltages.code.eq(delayed(m, self._scaler.code, "driven", line_key.latency)),
            voltages.key.eq(line_key.o),
            voltages.part.eq(job.part),
            self.power.eq(voltages.power),
            *(getattr(voltages, name).eq(getattr(self, name)) for name in Voltages.REGISTERS),
        ]
        plain = Mux(job.exact, self._scaler.code, self._scaler.code << VOLTAGE_FRAC)
        chosen = Mux(job.drive, voltages.operand, plain)[: code_bits(self.config)]
        return chosen.as_signed(), Mux(job.drive, voltages.o_valid, valid)


class _Count:
    """Number of a line in its vector, and where it lies in the memories."""

    def __init__(self, m, name, config, start, first):
        self.number = Signal(range(config.build.lines + 1), name=f"{name}_number")
        self.line = Signal(range(config.build.lines), name=f"{name}_line")
        self._m, self._start, self._first = m, start, first

    def moves(self, strobe):
        """Count a line with each strobe, from the first one on after a start."""
        with self._m.If(self._start):
            self._m.d.sync += [self.number.eq(0), self.line.eq(self._first)]
        with self._m.Elif(strobe):
            self._m.d.sync += [self.number.eq(self.number + 1), self.line.eq(self.line + 1)]
