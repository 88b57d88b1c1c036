"""Line values: from activations and errors at the edge to DAC codes, pulse trains and keys.

Each side (columns: activations, rows: errors) has an edge buffer, for the vectors of one or more
examples, and memories that the sweep reads. A *pass* goes through the lines of one side and fills
some of those memories. There are two at a time: one of codes, for a multiplication, and one of
trains, for an update to come. They share the edge buffers and the divider; codes go first.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.base.pipeline import delayed, strobe_after
from ohmgrid.hdl.periphery.converters import Scaler
from ohmgrid.hdl.periphery.edge import BLOCK, FETCH, Edge
from ohmgrid.hdl.periphery.passes import Pass, divisor_bits, pass_layout, trains_layout
from ohmgrid.hdl.periphery.pulses import TrainMaker
from ohmgrid.hdl.periphery.values import ASK, keys_layout, line_cycles, list_layout, values_layout
from ohmgrid.hdl.periphery.voltages import POWER_BITS, Voltages, code_bits
from ohmgrid.periphery import SLOTS
from ohmgrid.registers.edge import FACTOR_BITS
from ohmgrid.registers.layers import SHARE_BITS
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.readout import VOLTAGE_FRAC

__all__ = ["Lines"]

SIDES = ("column", "row")
TAKEN = ("vector", "value", "one", "column_base", "row_base", "look")
GIVEN = ("taken", "column_max", "row_max", "column_count", "looked")
"""Members of the edge that are members of the whole."""
ASKED = 1 + FETCH
"""Cycles from a line's turn until its value is there."""
WAITING = 8
"""Lines whose keys wait to be made: those that are on their way when no more may come."""


class Lines(wiring.Component):
    """Edge buffers and line memories of both sides, and the passes that fill them.

    Lines have numbers in these memories: those of an array begin at ``first``. Of pairs, rows have
    two devices, 2 i and 2 i + 1 of line i, with keys of their own and the same train.

    Parameters
    ----------
    config : Config

    Members
    -------
    job : In(pass_layout), busy : Out(1)
        A pass of codes, or of keys alone.
    trains : In(trains_layout), trains_busy : Out(1)
        A pass of trains and their keys; no pass of keys is at work at the same time, and in a build
        with ``read_physics`` none of codes.
    vector, value, one, taken, column_max, row_max, column_count, column_base, row_base : In, Out
    look, looked : In, Out
        Vectors that come in, and where they lie, as of `ohmgrid.hdl.periphery.edge.Edge`.
    chopper_side, chopper_line : Out ; chopper : In(1)
        A line that has come, and a cycle later whether its sign is turned, in a build with buffers.
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
        The first code of the pass is there.
    asks : Out(ASK), granted : In(1), key_made : In(64)
        For keys of passes, in a build that makes them: of a line, until it is granted; and the key,
        so many cycles later as a `LineKey` takes. Whoever makes them does not grant those of trains
        at all times, but all others at once.
    clipped : Out(1)
        In the last pass of trains, a line was to fire with a probability above 1.
    key : In
        Operation key of passes.
    keys : In(keys_layout)
        For keys that are computed while a sweep reads lines (a build with ``computed_keys``).
    codes, pulses : Out(list_layout)
        The lines of the serial side that have a code, and those that have a train with pulses.
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
                "busy": Out(1),
                "trains": In(trains_layout(config)),
                "trains_busy": Out(1),
                **{name: passed[name] for name in (*TAKEN, *GIVEN)},
                **{"chopper_side": Out(1), "chopper_line": Out(range(build.lines))},
                **{"chopper": In(1), "share": In(SHARE_BITS)},
                "number": Out(range(build.lines + 1)),
                "shared_valid": Out(1),
                "shared": Out(signed(18)),
                **{name: In(READ_BITS[name]) for name in Voltages.REGISTERS},
                "power": Out(POWER_BITS),
                "begun": Out(1),
                "clipped": Out(1),
                "asks": Out(ASK),
                "granted": In(1),
                "key_made": In(64),
                "key": In(64),
                "keys": In(keys_layout(config)),
                "codes": Out(list_layout(config)),
                "pulses": Out(list_layout(config)),
                "row_line": In(range(build.outputs)),
                "row_key": In(range(build.outputs)),
                "column_line": In(range(build.inputs)),
                "rows": Out(values_layout(config)),
                "columns": Out(values_layout(config)),
            }
        )
        self._scaler = Scaler(
            config.formats.edge_bits, factor_bits=FACTOR_BITS, divisor_bits=divisor_bits(config)
        )
        self._made = LineKey().latency
        self._voltages = Voltages()
        self._maker = TrainMaker(build.train_groups, build.counted_trains)

    def cycles(self, count, pace=1, steps=0, drive=False, keys=False):
        """Return the cycles that a pass over ``count`` lines is busy, if no other one is.

        Parameters
        ----------
        count : int
        pace : int
        steps : int
            Cycles that the last line's train takes (`TrainMaker.steps`); 0 for a pass without
            trains.
        drive, keys : bool
            It makes driven codes; keys alone.
        """
        coded = self._scaler.latency + 1
        last = 1 + self._made if keys else coded
        if steps:
            last = coded + steps - 1 + self._maker.latency
        if drive:
            last = coded + 1 + self._made + self._voltages.latency
        # Start, issue and edge buffer, the last line's way, and the three that notice its end.
        return 4 + ASKED + (count - 1) * pace + last

    def elaborate(self, platform):
        m = Module()
        job = self.job
        m.submodules.edge = edge = self._edge
        m.d.comb += [getattr(edge, name).eq(getattr(self, name)) for name in TAKEN]
        m.d.comb += [getattr(self, name).eq(getattr(edge, name)) for name in GIVEN]
        bases = (self.column_base, self.row_base)
        # Of pairs, a pass of trains or keys goes through devices.
        codes = Pass(m, "codes", job, job.paired & job.side & ~job.codes, bases)
        trains = Pass(m, "trains", self.trains, self.trains.paired & self.trains.side, bases)
        codes.runs(1)
        crowded = Signal()
        trains.runs(~codes.turn & ~crowded, trains.held.pace)

        came = self._ask(m, codes, trains)
        scaled = self._scale(m, codes, trains, came)
        key, keyed = self._key(m, codes, trains, came, scaled, crowded)
        code, coded = self._code(m, codes, scaled, key)
        train, trained = self._train(m, trains, scaled)
        self._remember(m, codes, trains, {"code": code, "train": train, "key": key})
        self._list(m, codes, trains, code, train)

        alone = codes.held.static_keys | codes.held.cycle_keys
        seen = (trained.number == trains.held.count) | ~trains.held.trains
        if not self.config.build.computed_keys:
            seen = seen & (keyed["trains"].number == trains.held.count)
        m.d.comb += [
            self.begun.eq((coded.number != 0) & ~job.start),
            self.busy.eq(
                codes.ends(Mux(alone, keyed["codes"].number, coded.number) == codes.held.count)
            ),
            self.trains_busy.eq(trains.ends(seen)),
        ]
        return m

    def _ask(self, m, codes, trains):
        """Ask the edge for the line that has its turn; return what came, and what it is for."""
        edge, of_trains = self._edge, trains.turn
        turn = {
            "trains": of_trains,
            "number": Mux(of_trains, trains.number, codes.number),
            "twice": Mux(of_trains, trains.twice, codes.twice),
            "start": Mux(of_trains, trains.start, codes.start),
            "side": Mux(of_trains, trains.held.side, codes.held.side),
            "skip": Mux(of_trains, trains.held.skip, codes.held.skip),
        }
        asked = {name: delayed(m, value, f"asked_{name}") for name, value in turn.items()}
        m.d.comb += [
            edge.number.eq(Mux(asked["twice"], asked["number"] >> 1, asked["number"])),
            *(getattr(edge, name).eq(asked[name]) for name in ("start", "side", "skip")),
            self.number.eq(delayed(m, codes.number, "shared_number", ASKED - 1)),
        ]
        came = {
            name: delayed(m, asked[name], f"came_{name}", FETCH)
            for name in ("trains", "number", "twice", "skip", "side")
        }
        came["valid"] = strobe_after(m, codes.turn | trains.turn, ASKED, "came")
        # In the vector: of a line, or of a device.
        came["device"] = Mux(came["skip"], edge.index, came["number"])
        came["line"] = Mux(came["twice"], came["number"] >> 1, came["device"])
        return came

    def _scale(self, m, codes, trains, came):
        """Scale what came; return what is there now, and for which pass."""
        m.submodules.scaler = scaler = self._scaler
        now, then = codes.held, trains.held
        # A pass of keys alone needs no values.
        valid = came["valid"] & Mux(came["trains"], then.trains, now.codes | now.share)
        # A register behind the edge buffers' block RAM.
        value = Signal(signed(self.config.formats.edge_bits), reset_less=True)
        factor = Signal.like(scaler.factor, reset_less=True)
        divisor = Signal.like(scaler.divisor, reset_less=True)
        m.d.sync += value.eq(self._edge.found)
        with m.If(came["trains"]):
            m.d.sync += [factor.eq(then.factor), divisor.eq(then.divisor)]
        with m.Else():
            m.d.sync += [factor.eq(now.factor), divisor.eq(now.divisor)]
            with m.If(now.share):
                # Half of what a share is multiplied with: the edge is too narrow for the whole.
                m.d.sync += [value.eq(now.factor >> 1), factor.eq(self.share << 1)]
        coming, of_trains, negative = (
            Signal(scaler.latency + 1, name=name) for name in ("coming", "of_trains", "negative")
        )
        m.d.sync += [
            coming.eq(Cat(valid, coming)),
            of_trains.eq(Cat(came["trains"], of_trains)),
            negative.eq(Cat(self._edge.found < 0, negative)),
        ]
        if self.config.build.buffers:
            chops = delayed(m, came["trains"] & then.chopped, "chops")
            line = then.first + came["line"]
            m.d.comb += [self.chopper_side.eq(came["side"]), self.chopper_line.eq(line)]
            m.d.sync += negative[1].eq(negative[0] ^ (chops & self.chopper))
        m.d.comb += [
            scaler.value.eq(value),
            scaler.magnitude.eq(of_trains[0]),
            scaler.factor.eq(factor),
            scaler.divisor.eq(divisor),
            scaler.top.eq(Mux(of_trains[scaler.top_time], 1 << 16, now.top)),
        ]
        # Lines that are being scaled, in order.
        m.submodules.indices = indices = Memory(
            shape=unsigned(len(came["line"])), depth=1 << scaler.latency.bit_length(), init=[]
        )
        write, read = indices.write_port(), indices.read_port(domain="comb")
        code, train = coming[-1] & ~of_trains[-1], coming[-1] & of_trains[-1]
        m.d.sync += [write.addr.eq(write.addr + valid), read.addr.eq(read.addr + coming[-1])]
        m.d.comb += [
            *(write.en.eq(valid), write.data.eq(came["line"])),
            *(self.shared_valid.eq(code & now.share), self.shared.eq(scaler.code)),
        ]
        return {
            **{"code": code, "train": train},
            "index": read.data,
            "negative": negative[-1],
        }

    def _key(self, m, codes, trains, came, scaled, crowded):
        """Ask for keys of lines: those of passes, and of inputs with noise.

        Return what is written of them, and counts of either pass's.
        """
        build, asks = self.config.build, self.asks
        # A line's key is asked for when its code is there, for that comes much later than the line.
        drive, driven = codes.held.drive & build.read_physics, Signal(16)
        with m.If(self.job.start):
            m.d.sync += driven.eq(0)
        with m.Elif(scaled["code"]):
            m.d.sync += driven.eq(driven + 1)
        alone = codes.held.static_keys | codes.held.cycle_keys
        made, index = Signal(), Signal.like(came["device"])
        if build.read_physics or not build.computed_keys:
            m.submodules.waiting = waiting = SyncFIFO(width=16, depth=WAITING)
            m.d.comb += [
                waiting.w_data.eq(Mux(drive, driven, came["device"])),
                waiting.w_en.eq(
                    Mux(drive, scaled["code"], came["valid"] & (came["trains"] | alone))
                ),
                asks.valid.eq(waiting.r_rdy),
                waiting.r_en.eq(self.granted),
                asks.key.eq(self.key),
                asks.index.eq(waiting.r_data),
                asks.sub.eq(Mux(trains.running, trains.held.sub, codes.held.sub)),
                made.eq(strobe_after(m, asks.valid & self.granted, self._made, "made")),
                # Of pairs lines come in order; so where a column lies is known from its number.
                index.eq(delayed(m, asks.index, "key_index", self._made)),
            ]
            m.d.sync += crowded.eq(waiting.level >= WAITING - ASKED - 1)
        of_trains = trains.running
        side = Mux(of_trains, trains.held.side, codes.held.side)
        m.d.comb += asks.purpose.eq(
            Mux(drive, Purpose.INPUT, Mux(side, Purpose.ROW, Purpose.COLUMN))
        )
        of_line = made & ~drive
        keyed = {
            "codes": codes.count("keyed", of_line & ~of_trains),
            "trains": trains.count("keyed", of_line & of_trains),
        }
        skipped = trains.held.first + index
        lines = Mux(trains.held.skip, skipped, keyed["trains"].line)
        return {
            "side": side,
            "static": of_line & ~of_trains & codes.held.static_keys,
            "cycle": of_line & (of_trains | codes.held.cycle_keys),
            "line": Mux(of_trains, lines, keyed["codes"].line),
            "driven": made & drive,
        }, keyed

    def _code(self, m, codes, scaled, key):
        """Return what is stored as a line's code: the DAC's code, or its operand."""
        job, now, scaler = self.job, codes.held, self._scaler
        word, stored = scaler.code, scaled["code"]
        if self.config.build.read_physics:
            m.submodules.voltages = voltages = self._voltages
            m.d.comb += [
                voltages.first.eq(job.start),
                voltages.valid.eq(key["driven"]),
                voltages.code.eq(delayed(m, scaler.code, "driven", 1 + self._made)),
                voltages.key.eq(self.key_made),
                voltages.part.eq(now.part),
                self.power.eq(voltages.power),
                *(getattr(voltages, name).eq(getattr(self, name)) for name in Voltages.REGISTERS),
            ]
            plain = Mux(now.exact, scaler.code, scaler.code << VOLTAGE_FRAC)
            word = Mux(now.drive, voltages.operand, plain)[: code_bits(self.config)].as_signed()
            stored = Mux(now.drive, voltages.o_valid, stored)
        coded = codes.count("coded", stored)
        line = Mux(now.skip, now.first + scaled["index"], coded.line)
        return {"en": now.codes & stored, "line": line, "word": word}, coded

    def _train(self, m, trains, scaled):
        """Return what is stored as a line's train: with its sign, at each of its devices."""
        then = trains.held
        m.submodules.trains = maker = self._maker
        m.d.comb += [
            maker.i.valid.eq(scaled["train"]),
            maker.i.payload.index.eq(scaled["index"]),
            maker.i.payload.sign.eq(scaled["negative"]),
            maker.i.payload.probability.eq(self._scaler.code),
            maker.key.eq(self.key),
            maker.row.eq(then.side),
            *(getattr(maker, name).eq(then[name]) for name in ("bl", "chunk", "mode")),
        ]
        with m.If(self.trains.start):
            m.d.sync += self.clipped.eq(0)
        with m.Elif(scaled["train"] & self._scaler.clipped):
            m.d.sync += self.clipped.eq(1)
        trained = trains.count("trained", maker.o.valid)
        line = (then.first + maker.o.payload.index)[: len(then.first)]
        word = Cat(maker.o.payload.word, maker.o.payload.sign)
        first = ~trains.twice | trained.number[0]
        return {
            "en": maker.o.valid,
            "line": Mux(then.skip, line, trained.line),
            "word": word,
            "listed": maker.o.valid & maker.o.payload.word.any() & first,
            "of": line,
        }, trained

    def _remember(self, m, codes, trains, made):
        """Write what was made to the memories of its side, and read them for the sweep."""
        code, train, key = made["code"], made["train"], made["key"]
        bits, build = code_bits(self.config), self.config.build
        stores = {
            "code": (bits, codes.held.side, code["en"], code["line"], code["word"]),
            "train": (SLOTS + 1, trains.held.side, train["en"], train["line"], train["word"]),
        }
        if not build.computed_keys:
            word = self.key_made
            stores |= {
                "static": (64, key["side"], key["static"], key["line"], word),
                "cycle": (32, key["side"], key["cycle"], key["line"], word[:32]),
            }
        for number, (side, depth) in enumerate(zip(SIDES, self._depths, strict=True)):
            m.submodules[f"{side}_memories"] = memories = Module()
            found = self.rows if side == "row" else self.columns
            address = self.row_line if side == "row" else self.column_line
            keys = self.row_key if side == "row" else self.column_line
            for name, (bits, of, condition, where, word) in stores.items():
                memory = Memory(shape=unsigned(bits), depth=depth, init=[], attrs=BLOCK)
                memories.submodules[name] = memory
                write, read = memory.write_port(), memory.read_port()
                m.d.comb += [
                    write.en.eq((of == number) & condition),
                    write.addr.eq(where),
                    write.data.eq(word),
                    read.addr.eq(address if name == "code" else keys),
                ]
                word = delayed(m, read.data, f"{side}_{name}", line_cycles(self.config) - 1)
                m.d.comb += found[name].eq(word)
                if name == "train":
                    m.d.comb += found.sign.eq(word[-1])
            if build.computed_keys:
                self._computed_keys(m, side, keys, found)

    def _list(self, m, codes, trains, code, train):
        """List serial lines: those with a code, and those with a train that has pulses."""
        job, of_trains = self.job, self.trains
        begin = trains.begin + Mux(of_trains.turned, 0, self.config.build.inputs)
        m.d.sync += [
            self.codes.clear.eq(job.start & job.codes & (job.side != job.turned)),
            self.codes.put.eq(
                (codes.held.side != codes.held.turned) & code["en"] & (code["word"] != 0)
            ),
            self.codes.line.eq(code["line"]),
            self.pulses.clear.eq(
                of_trains.start & of_trains.trains & (of_trains.side != of_trains.turned)
            ),
            self.pulses.put.eq((trains.held.side != trains.held.turned) & train["listed"]),
            self.pulses.line.eq(Mux(of_trains.start, begin, train["of"])),
        ]

    def _computed_keys(self, m, side, address, found):
        """Compute the keys of the line at an address: `line_cycles` later they are there."""
        purpose = Purpose.ROW if side == "row" else Purpose.COLUMN
        index = delayed(m, address - self.keys[side], f"{side}_index")
        for name, key, number in (
            ("static", self.keys.static, 0),
            ("cycle", self.keys.cycle, self.keys.sub),
        ):
            m.submodules[f"{side}_{name}"] = line_key = LineKey()
            m.d.comb += [
                line_key.key.eq(key),
                line_key.index.eq(index[: len(address)]),
                line_key.sub.eq(number),
                line_key.purpose.eq(purpose),
                found[name].eq(line_key.o),
            ]
