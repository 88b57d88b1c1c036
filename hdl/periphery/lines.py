"""Line values: from activations and errors at the edge to DAC codes, pulse trains and keys.

Each side (columns: activations, rows: errors) has an edge buffer and memories that the sweep
reads. A *pass* goes through the lines of one side and fills some of those memories.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.periphery.converters import DIVISOR_BITS, Scaler
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.voltages import POWER_BITS, Voltages, code_bits
from ohmgrid.registers.edge import FACTOR_BITS
from ohmgrid.registers.map import READ
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import VOLTAGE_FRAC, Part

__all__ = ["Lines"]

SIDES = ("column", "row")


class Lines(wiring.Component):
    """Edge buffers and line memories of both sides, and the pass that fills them.

    Parameters
    ----------
    config : Config

    Members
    -------
    side : In(1)
        0: columns, 1: rows.
    count : In
        Lines of that side: of rows, rows of devices in a pass of trains or keys, outputs else.
    paired : In(1)
        Rows 2 i and 2 i + 1 belong to the devices of output i: they have keys of their own, the
        same train, and the second one has the negative code; in a sweep over magnitudes it alone
        has the code. A pass of codes then takes a line every other cycle.
    clear : In(1)
        Strobe: a new vector of that side follows.
    take, value : In
        Takes the next value of it into the edge buffer.
    taken : Out(1)
        That value was the last.
    column_max, row_max : Out
        Largest magnitudes of both vectors, two cycles after the last value.
    start : In(1)
        Strobe: begin a pass with the settings below, which must stay until `busy` falls.
    codes, trains, static_keys, cycle_keys : In(1)
        What the pass writes; codes and trains exclude each other.
    factor, divisor, top : In
        Scale of a magnitude: DAC code or firing probability.
    drive : In(1)
        Codes pass the DACs' non-idealities on their way (a build with ``read_physics``).
    exact : In(1)
        Codes are the values themselves, without the fraction bits of a voltage (such a build too).
    part, inp_noise, ... : In
        What the codes then are: members of `ohmgrid.hdl.periphery.voltages.Voltages`.
    power : Out
        Sum of a vector of powers.
    bl, mode : In
        Slots and pulse type of trains.
    key, sub : In
        Operation key, and slot or number of the pass, for keys, trains and voltages.
    pace : In(6)
        Cycles from one line to the next, >= 1.
    busy : Out(1)
    list_clear, list_put, list_row : Out
        The rows whose train has pulses: a pass of trains begins; its next one is this.
    row_address : In ; row_code, row_train, row_sign, row_static, row_cycle : Out
        Read ports of the row memories, one cycle.
    column_address : In ; column_code, ... : Out
        The same of the columns.
    """

    def __init__(self, config):
        self.config = config
        self.depths = (config.build.max_cols, config.build.max_rows)
        longest = max(self.depths)
        members = {
            "side": In(1),
            "count": In(range(longest + 1)),
            "paired": In(1),
            "clear": In(1),
            "take": In(1),
            "value": In(signed(config.formats.edge_bits)),
            "taken": Out(1),
            "column_max": Out(config.formats.edge_bits),
            "row_max": Out(config.formats.edge_bits),
            "start": In(1),
            "codes": In(1),
            "trains": In(1),
            "static_keys": In(1),
            "cycle_keys": In(1),
            "factor": In(FACTOR_BITS),
            "divisor": In(DIVISOR_BITS),
            "top": In(17),
            "drive": In(1),
            "exact": In(1),
            "part": In(2),
            **{name: In(READ[name].bits) for name in Voltages.REGISTERS},
            "power": Out(POWER_BITS),
            "bl": In(5),
            "mode": In(2),
            "key": In(64),
            "sub": In(8),
            "pace": In(6),
            "busy": Out(1),
            "list_clear": Out(1),
            "list_put": Out(1),
            "list_row": Out(range(config.build.max_rows)),
        }
        for side, depth in zip(SIDES, self.depths, strict=True):
            members |= {
                f"{side}_address": In(range(depth)),
                f"{side}_code": Out(signed(code_bits(config))),
                f"{side}_train": Out(SLOTS),
                f"{side}_sign": Out(1),
                f"{side}_static": Out(64),
                f"{side}_cycle": Out(32),
            }
        super().__init__(members)
        self._scaler = Scaler(
            config.formats.edge_bits, factor_bits=FACTOR_BITS, divisor_bits=DIVISOR_BITS
        )
        self._line_key = LineKey()
        self._voltages = Voltages()
        self._maker = TrainMaker(config.build.train_groups)

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
        longest = max(self.depths)
        counter = range(longest + 1)

        m.submodules.scaler = scaler = self._scaler
        m.submodules.line_key = line_key = self._line_key

        # The settings stay for a whole pass: their choice ends in registers.
        held = {
            name: delayed(m, getattr(self, name), f"held_{name}")
            for name in (
                *("side", "count", "codes", "trains", "static_keys", "cycle_keys"),
                *("factor", "divisor", "top", "pace", "bl", "mode"),
            )
        }

        # A vector comes in: edge buffer and largest magnitude.
        place = Signal(counter)
        size = Mux(self.value < 0, -self.value, self.value)[: len(self.column_max)]
        magnitude, sized = delayed(m, size, "magnitude"), Signal()
        m.d.sync += sized.eq(self.take)
        m.d.comb += self.taken.eq(self.take & (place == held["count"] - 1))
        with m.If(self.clear):
            m.d.sync += place.eq(0)
        with m.Elif(self.take):
            m.d.sync += place.eq(place + 1)

        # One line every `pace` cycles: its value comes from the edge buffer in the next cycle.
        line = Signal(counter)
        wait = Signal(6)
        running = Signal()
        issue = Signal()
        m.d.comb += issue.eq(running & (wait == 0) & (line != held["count"]))
        with m.If(self.start):
            m.d.sync += [running.eq(1), line.eq(0), wait.eq(0)]
        with m.Elif(issue):
            m.d.sync += [line.eq(line + 1), wait.eq(held["pace"] - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        valid = Signal()
        index = Signal(16)
        m.d.sync += [valid.eq(issue), index.eq(line)]

        # Results come back in order, so each path counts its own.
        coded, keyed, trained = Signal(counter), Signal(counter), Signal(counter)
        code_valid = Signal(scaler.latency + 1)
        m.d.sync += code_valid.eq(code_valid << 1 | valid)
        code, stored = self._code(m, code_valid[-1])
        with m.If(self.start):
            m.d.sync += [coded.eq(0), keyed.eq(0), trained.eq(0)]
        with m.Else():
            m.d.sync += [coded.eq(coded + stored), keyed.eq(keyed + line_key.o_valid)]

        # Of a pair, the minus device's code is written in the cycle after the other's.
        again, before = strobe_after(m, stored, 1, "again"), delayed(m, coded, "before")
        first_code = delayed(m, code, "first_code")
        sizes = self.drive & ((self.part == Part.LOAD) | (self.part == Part.POWER))
        minus_code = Mux(sizes, first_code, -first_code)[: code_bits(self.config)]
        pair_code = Mux(again, minus_code, Mux(sizes, 0, code))[: code_bits(self.config)]

        # A register behind the edge buffers' block RAM.
        value = Signal(signed(self.config.formats.edge_bits), reset_less=True)
        negative = Signal(line_key.latency - 1)
        m.d.sync += negative.eq(negative << 1 | (value < 0))
        m.d.comb += [
            scaler.value.eq(value),
            scaler.magnitude.eq(held["trains"]),
            scaler.factor.eq(held["factor"]),
            scaler.divisor.eq(held["divisor"]),
            scaler.top.eq(held["top"]),
            line_key.key.eq(self.key),
            line_key.index.eq(Mux(self.drive, self._driven, index)),
            line_key.sub.eq(self.sub),
            line_key.purpose.eq(
                Mux(self.drive, Purpose.INPUT, Mux(held["side"], Purpose.ROW, Purpose.COLUMN))
            ),
            line_key.i_valid.eq(Mux(self.drive, code_valid[-1], valid)),
        ]

        m.submodules.trains = maker = self._maker
        twice = self.paired & held["side"]
        m.d.comb += [
            maker.i.valid.eq(code_valid[-1] & held["trains"]),
            maker.i.payload.index.eq(Mux(twice, coded >> 1, coded)),
            maker.i.payload.probability.eq(scaler.code),
            maker.key.eq(self.key),
            maker.row.eq(held["side"]),
            maker.bl.eq(held["bl"]),
            maker.chunk.eq(0),
            maker.mode.eq(held["mode"]),
        ]

        values = []
        for number, (side, depth) in enumerate(zip(SIDES, self.depths, strict=True)):
            here, cleared = held["side"] == number, self.clear & (self.side == number)
            pairs = self.paired if side == "row" else Const(0, 1)

            def memory(name, bits, depth=depth, side=side):
                store = Memory(shape=unsigned(bits), depth=depth, init=[])
                m.submodules[f"{side}_{name}"] = store
                return store.write_port(), store.read_port()

            largest = getattr(self, f"{side}_max")
            with m.If(cleared):
                m.d.sync += largest.eq(0)
            with m.Elif(here & sized & (magnitude > largest)):
                m.d.sync += largest.eq(magnitude)
            write, read = memory("edge", self.config.formats.edge_bits)
            m.d.comb += [
                write.en.eq(self.take & here),
                write.addr.eq(place),
                write.data.eq(self.value),
                read.addr.eq(Mux(pairs & ~held["codes"], line >> 1, line)),
            ]
            values.append(read.data.as_signed())

            address = getattr(self, f"{side}_address")
            stores = {
                "code": (
                    code_bits(self.config),
                    here & held["codes"] & (stored | (pairs & again)),
                    Mux(pairs, Cat(again, Mux(again, before, coded)), coded),
                    Mux(pairs, pair_code, code),
                ),
                "train": (SLOTS, here & maker.o.valid, trained, maker.o.payload.word),
                "static": (64, here & held["static_keys"] & line_key.o_valid, keyed, line_key.o),
                "cycle": (
                    33,
                    here & held["cycle_keys"] & line_key.o_valid,
                    keyed,
                    Cat(line_key.o[:32], negative[-1]),
                ),
            }
            for name, (bits, condition, where, data) in stores.items():
                write, read = memory(name, bits)
                m.d.comb += [
                    write.en.eq(condition),
                    write.addr.eq(where),
                    write.data.eq(data),
                    read.addr.eq(address),
                    getattr(self, f"{side}_{name}").eq(read.data),
                ]
                if name == "cycle":
                    m.d.comb += getattr(self, f"{side}_sign").eq(read.data[32])
        m.d.sync += value.eq(Mux(held["side"], values[1], values[0]))
        m.d.sync += [
            self.list_clear.eq(self.start & self.trains & self.side),
            self.list_put.eq(maker.o.valid & held["side"] & maker.o.payload.word.any()),
            self.list_row.eq(trained),
        ]
        with m.If(~self.start):
            m.d.sync += trained.eq(trained + maker.o.valid)

        # All paths see all lines, wanted or not, so that one condition ends every pass.
        finished = (
            (coded == held["count"])
            & (keyed == held["count"])
            & (~held["trains"] | (trained == held["count"]))
        )
        # A register: the way from all counters to whoever waits is long.
        ended = delayed(m, running & finished, "ended")
        with m.If(running & ended & ~self.start):
            m.d.sync += running.eq(0)
        m.d.comb += self.busy.eq(running | self.start)
        return m

    def _code(self, m, valid):
        """Return what is stored as a line's code, and when: the DAC's code, or its operand.

        A line's key is made when its code is there, for that comes much later than the line.
        """
        self._driven = Signal(16)
        if not self.config.build.read_physics:
            return self._scaler.code, valid
        m.submodules.voltages = voltages = self._voltages
        line_key = self._line_key
        with m.If(self.start):
            m.d.sync += self._driven.eq(0)
        with m.Elif(valid):
            m.d.sync += self._driven.eq(self._driven + 1)
        m.d.comb += [
            voltages.first.eq(self.start),
            voltages.valid.eq(line_key.o_valid & self.drive),
            voltages.code.eq(delayed(m, self._scaler.code, "driven", line_key.latency)),
            voltages.key.eq(line_key.o),
            voltages.part.eq(self.part),
            self.power.eq(voltages.power),
            *(getattr(voltages, name).eq(getattr(self, name)) for name in Voltages.REGISTERS),
        ]
        plain = Mux(self.exact, self._scaler.code, self._scaler.code << VOLTAGE_FRAC)
        return (
            Mux(self.drive, voltages.operand, plain),
            Mux(self.drive, voltages.o_valid, valid),
        )
