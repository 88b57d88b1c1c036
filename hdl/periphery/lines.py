"""Line values: from activations and errors at the edge to DAC codes, pulse trains and keys.

Each side (columns: activations, rows: errors) has an edge buffer, for the vectors of one or more
examples, and memories that the sweep reads. A *pass* goes through the lines of one side and fills
some of those memories.
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS, Config
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.periphery.converters import DIVISOR_BITS, Scaler
from ohmgrid.hdl.periphery.edge import FETCH, Edge
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.values import keys_layout, line_cycles, list_layout, values_layout
from ohmgrid.hdl.periphery.voltages import POWER_BITS, Voltages, code_bits
from ohmgrid.registers.edge import BL_BITS, FACTOR_BITS
from ohmgrid.registers.layers import SHARE_BITS
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["Lines", "pass_layout"]

SIDES = ("column", "row")
TAKEN = ("vector", "value", "one", "column_base", "row_base", "look")
GIVEN = ("taken", "column_max", "row_max", "column_count", "looked")
"""Members of the edge that are members of the whole."""


def pass_layout(config: Config) -> data.StructLayout:
    """Return the layout of what is done to lines; constant while a pass is `busy`, but for strobes.

    ``side`` (0: columns, 1: rows): the array's ``count`` lines from the ``first`` one on; of
    ``paired`` rows, devices in a pass of trains or keys. ``turned``: the columns are serial.

    ``start`` (strobe): begin a pass, one line every ``pace`` cycles, that writes ``codes`` or
    ``trains``, ``static_keys`` or ``cycle_keys``. ``factor``, ``divisor``, ``top``: scale of a
    magnitude, DAC code or firing probability. ``sub``: slot or number of the pass, for keys and
    voltages. ``bl``, ``chunk``, ``mode``: slots, part and pulse type of trains. ``drive``: codes
    pass the DACs' non-idealities on their way, ``part`` says what they then are; ``exact``: codes
    are the values themselves, without the fraction bits of a voltage (both in a build with
    ``read_physics``). ``skip``: of columns alone, ``count`` is `Lines.column_count`, and lines of 0
    are passed over: codes and trains of theirs stay what they were. ``share``: values are not those
    of the edge buffer, but each line's ``share`` comes from outside, and takes the place of half of
    ``factor``; results leave by ``shared``.
    """
    lines = config.build.lines
    return data.StructLayout(
        {
            **{"side": 1, "count": range(lines + 1), "first": range(lines)},
            **{"paired": 1, "turned": 1, "start": 1, "share": 1, "skip": 1},
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
    vector, value, one, taken, column_max, row_max, column_count, column_base, row_base : In, Out
        Vectors that come in, and where they lie, as of `ohmgrid.hdl.periphery.edge.Edge`.
    look, looked : In, Out
        Likewise, while no pass goes through columns.
    share : In
        Of line ``number``, a cycle after that: its magnitude for a pass with ``share``.
    number : Out
        Lines of the pass before that one.
    shared_valid, shared : Out
        Results of such a pass, in order.
    inp_noise, ... : In
        Of `ohmgrid.hdl.periphery.voltages.Voltages`.
    power : Out
        Sum of a vector of powers.
    begun : Out(1)
        The first code, or train, of the pass is there.
    clipped : Out(1)
        In the last pass of trains, a line was to fire with a probability above 1.
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
        self._edge = Edge(config)
        passed = self._edge.signature.members
        super().__init__(
            {
                "job": In(pass_layout(config)),
                **{name: passed[name] for name in (*TAKEN, *GIVEN)},
                "share": In(SHARE_BITS),
                "number": Out(range(build.lines + 1)),
                "shared_valid": Out(1),
                "shared": Out(signed(18)),
                **{name: In(READ_BITS[name]) for name in Voltages.REGISTERS},
                "power": Out(POWER_BITS),
                "begun": Out(1),
                "clipped": Out(1),
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
        # Start, issue and edge buffer, the last line's way, and the three that notice its end.
        return 4 + FETCH + (count - 1) * pace + last

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
        m.submodules.edge = edge = self._edge
        m.d.comb += [getattr(edge, name).eq(getattr(self, name)) for name in TAKEN]
        m.d.comb += [getattr(self, name).eq(getattr(edge, name)) for name in GIVEN]

        # One line every `pace` cycles: its value comes from the edge buffer in the next cycle.
        # Results come back in order, so each path counts its own, and where they go. Of pairs,
        # a pass of trains or keys goes through devices.
        doubled = job.paired & job.side & ~job.codes
        begin = Mux(doubled, job.first << 1, job.first)
        coded, keyed, trained = (
            _Count(m, name, self.config, job.start, begin) for name in ("coded", "keyed", "trained")
        )
        issue = _Count(m, "issued", self.config, job.start, begin)
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
        # A line's value is there some cycles later: a list may have to say which line it is.
        valid = strobe_after(m, issues, FETCH, "fetched")
        number = delayed(m, issue.number, "number", FETCH)
        index = Mux(held.skip, edge.index, number)
        m.d.comb += [
            edge.side.eq(held.side),
            edge.start.eq(
                delayed(m, job.first + Mux(job.side, self.row_base, self.column_base), "start")
            ),
            edge.number.eq(Mux(twice, issue.number >> 1, issue.number)),
            edge.skip.eq(held.skip),
            edge.reading.eq(running & ~held.side),
        ]

        code_valid = Signal(scaler.latency + 1)
        m.d.sync += code_valid.eq(code_valid << 1 | valid)
        code, stored = self._code(m, code_valid[-1])
        coded.moves(stored)
        # Indices of the lines that are being coded.
        m.submodules.indices = indices = Memory(
            shape=unsigned(len(index)), depth=1 << scaler.latency.bit_length(), init=[]
        )
        write, read = indices.write_port(), indices.read_port(domain="comb")
        m.d.comb += [write.en.eq(valid), write.data.eq(index)]
        with m.If(job.start):
            m.d.sync += [write.addr.eq(0), read.addr.eq(0)]
        with m.Else():
            m.d.sync += [
                write.addr.eq(write.addr + valid),
                read.addr.eq(read.addr + code_valid[-1]),
            ]
        coded_index = Mux(held.skip, read.data, Mux(twice, coded.number >> 1, coded.number))
        coded_line = Mux(held.skip, held.first + read.data, Mux(twice, coded.line >> 1, coded.line))
        keyed.moves(line_key.o_valid)
        trained.moves(maker.o.valid)

        # A register behind the edge buffers' block RAM.
        value = Signal(signed(self.config.formats.edge_bits), reset_less=True)
        share = Signal(SHARE_BITS + 1, reset_less=True)
        negative = Signal(scaler.latency)
        m.d.sync += negative.eq(negative << 1 | (value < 0))
        m.d.comb += [
            scaler.value.eq(value),
            scaler.magnitude.eq(held.trains),
            scaler.factor.eq(Mux(held.share, share, held.factor)),
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
            maker.i.payload.index.eq(coded_index),
            maker.i.payload.probability.eq(scaler.code),
            maker.key.eq(self.key),
            maker.row.eq(held.side),
            maker.bl.eq(held.bl),
            maker.chunk.eq(held.chunk),
            maker.mode.eq(held.mode),
        ]

        with m.If(job.start):
            m.d.sync += self.clipped.eq(0)
        with m.Elif(code_valid[-1] & held.trains & scaler.clipped):
            m.d.sync += self.clipped.eq(1)

        train_line = (held.first + maker.o.payload.index)[: len(held.first)]
        # A pass of trains leaves the sign of each line where its code would be.
        bits = code_bits(self.config)
        signs = held.trains & code_valid[-1]
        stores = {
            "code": (
                bits,
                (held.codes & stored) | signs,
                coded_line,
                Mux(held.trains, negative[-1].replicate(bits), code),
            ),
            "train": (SLOTS, maker.o.valid, train_line, maker.o.payload.word),
        }
        if not build.computed_keys:
            made = line_key.o_valid
            key_index = delayed(m, index, "key_index", line_key.latency)
            key_line = Mux(held.skip, held.first + key_index, keyed.line)
            stores |= {
                "static": (64, held.static_keys & made, key_line, line_key.o),
                "cycle": (32, held.cycle_keys & made, key_line, line_key.o[:32]),
            }
        m.d.comb += [
            self.number.eq(delayed(m, issue.number, "asked", FETCH - 1)),
            self.begun.eq(coded.number != 0),
            self.shared_valid.eq(code_valid[-1] & held.share),
            self.shared.eq(scaler.code),
        ]
        for number, (side, depth) in enumerate(zip(SIDES, self._depths, strict=True)):
            here = held.side == number
            m.submodules[f"{side}_memories"] = memories = Module()

            def memory(name, bits, depth=depth, memories=memories):
                store = Memory(shape=unsigned(bits), depth=depth, init=[])
                memories.submodules[name] = store
                return store.write_port(), store.read_port()

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
        m.d.sync += [value.eq(edge.found), share.eq(self.share << 1)]
        with m.If(held.share):
            # Half of what a share is multiplied with: the edge is too narrow for the whole.
            m.d.sync += value.eq(held.factor >> 1)

        serial = held.side != held.turned
        made = maker.o.valid & maker.o.payload.word.any() & (~twice | trained.number[0])
        m.d.sync += [
            self.list.clear.eq(job.start & (job.trains | job.codes) & (job.side != job.turned)),
            self.list.put.eq(serial & (made | (held.codes & stored & (code != 0)))),
            self.list.line.eq(Mux(held.codes, coded_line, train_line)),
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
