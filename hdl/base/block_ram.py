"""A memory whose outputs have registers: the vendors' block RAM has them built in.

Synthesis finds a block RAM for a memory, but leaves the register behind it in the fabric: on ECP5
5.8 ns pass before the word leaves the block. So the block is named outright, as in
`ohmgrid.hdl.base.multiplier`. The twin in the model is an array.
"""

from typing import Any, NamedTuple

from amaranth.hdl import (
    Array,
    Cat,
    ClockSignal,
    Const,
    Instance,
    Module,
    Mux,
    Signal,
    Value,
    unsigned,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.pipeline import delayed

__all__ = ["BlockRam"]

ECP5_WORDS = {18: 1024, 9: 2048, 4: 4096, 2: 8192, 1: 16384}
"""Bits of a word -> words that a DP16KD with two equal ports holds."""
ADDRESS_BITS = 14
ECP5_WIDE = (36, 512)
"""Bits and words of one that is written at one port and read at the other: synthesis finds it."""
SMALL = 64
"""So many words lie in LUT RAM."""


class BlockRam(wiring.Component):
    """Words, written at one address and read at one or two, `latency` cycles later.

    What is read in the cycle in which its address is written is undefined. With two readers, what
    is written takes the port of the first one, whose address does not count in that cycle: two
    ports are all that a block has.

    Parameters
    ----------
    width, depth : int
        Bits of a word, words.
    readers : int
        1 or 2.

    Members
    -------
    write : ``In(1)``
    write_address : ``In(range(depth))``
    data : ``In(width)``
    read0, read1 : ``In(1)``
        Reads the word at the address; else the last one stays.
    address0, address1 : ``In(range(depth))``
    o0, o1 : ``Out(width)``
    """

    latency = 2
    """Cycles from an address to its word: the block, and its register."""

    def __init__(self, width: int, depth: int, readers: int = 1):
        check_int("width", width, 1, 1 << 10)
        check_int("depth", depth, 1, 1 << 20)
        check_int("readers", readers, 1, 2)
        self._width, self._depth, self._readers = width, depth, readers
        # LUT RAM has a port for each.
        self._shared = readers == 2 and depth > SMALL
        members = {"write": In(1), "write_address": In(range(depth)), "data": In(width)}
        for k in range(readers):
            members |= {
                f"read{k}": In(1),
                f"address{k}": In(range(depth)),
                f"o{k}": Out(width),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        first, small = self.write_address, self._depth <= SMALL
        if self._shared:
            first = Mux(self.write, self.write_address, self.address0)
        bits, words = ECP5_WIDE
        wide = self._readers == 1 and self._width > bits // 2 and self._depth <= words
        if getattr(platform, "family", None) == "ecp5" and not small and not wide:
            self._blocks(m, first)
        else:
            self._memory(m, first)
        return m

    def _reader(self, k: int) -> tuple[Value, Value, Value]:
        return getattr(self, f"read{k}"), getattr(self, f"address{k}"), getattr(self, f"o{k}")

    def _memory(self, m: Module, first: Value) -> None:
        """Make the portable body."""
        m.submodules.memory = memory = Memory(
            shape=unsigned(self._width), depth=self._depth, init=[]
        )
        write = memory.write_port()
        m.d.comb += [write.en.eq(self.write), write.addr.eq(first), write.data.eq(self.data)]
        for k in range(self._readers):
            read, address, o = self._reader(k)
            port = memory.read_port()
            m.d.comb += [
                port.en.eq(read),
                port.addr.eq(first if self._shared and k == 0 else address),
                o.eq(delayed(m, port.data, f"word{k}")),
            ]

    def _blocks(self, m: Module, first: Value) -> None:
        """Make words of blocks side by side, and banks of them where one has too few words."""

        def blocks(bits: int) -> int:
            return -(-self._width // bits) * -(-self._depth // ECP5_WORDS[bits])

        # Of equally many, those with fewer banks.
        bits = min(reversed(ECP5_WORDS), key=blocks)
        place_bits = (ECP5_WORDS[bits] - 1).bit_length()
        banks = -(-self._depth // ECP5_WORDS[bits])
        words = [
            Array(Signal(self._width, name=f"o{k}_{bank}") for bank in range(banks))
            for k in range(self._readers)
        ]
        for bank in range(banks):
            write = self.write & (self.write_address[place_bits:] == bank)
            for start in range(0, self._width, bits):
                part = slice(start, min(start + bits, self._width))
                ports = [
                    _Port(Const(0, 1), *self._reader(k)[:2], Const(0, 1), words[k][bank][part])
                    for k in range(self._readers)
                ]
                if self._readers == 2:
                    enable = write | ports[0].enable
                    ports[0] = ports[0]._replace(write=write, enable=enable, address=first)
                else:
                    ports.insert(0, _Port(write, write, first, Const(0, 1), Signal(bits)))
                ports[0] = ports[0]._replace(data=self.data[part])
                m.submodules[f"bank{bank}_bit{start}"] = _ecp5(bits, *ports)
        for k, of_banks in enumerate(words):
            read, address, o = self._reader(k)
            place = Signal(range(banks), name=f"bank{k}", reset_less=True)
            with m.If(read):
                m.d.sync += place.eq(address[place_bits:])
            m.d.comb += o.eq(of_banks[delayed(m, place, f"bank_of_word{k}")])


class _Port(NamedTuple):
    """One side of a block."""

    write: Value
    enable: Value
    address: Value
    data: Value
    o: Value


def _ecp5(bits: int, a: _Port, b: _Port) -> Instance:
    """Return a DP16KD with words of so many bits, its outputs with registers."""
    ports: dict[str, Any] = {}
    parameters: dict[str, Any] = {"p_RESETMODE": "SYNC", "p_ASYNC_RESET_RELEASE": "SYNC"}
    # A word's place among bits; of 18, the lowest two enable the bytes that are written.
    skipped = ADDRESS_BITS - (ECP5_WORDS[bits] - 1).bit_length()
    for side, port in (("A", a), ("B", b)):
        below = Cat(port.write, port.write, Const(0, 2)) if bits == 18 else Const(0, skipped)
        parameters |= {
            f"p_DATA_WIDTH_{side}": bits,
            f"p_REGMODE_{side}": "OUTREG",
            f"p_CLK{side}MUX": f"CLK{side}",
            f"p_CSDECODE_{side}": "0b000",
            f"p_WRITEMODE_{side}": "NORMAL",
        }
        ports |= {
            f"i_CLK{side}": ClockSignal(),
            f"i_CE{side}": port.enable,
            f"i_OCE{side}": Const(1, 1),
            f"i_WE{side}": port.write,
            f"i_RST{side}": Const(0, 1),
        }
        place = Cat(below, port.address, Const(0, ADDRESS_BITS))[:ADDRESS_BITS]
        data = Cat(port.data, Const(0, 18))[:18]
        ports |= {f"i_CS{side}{k}": Const(0, 1) for k in range(3)}
        ports |= {f"i_AD{side}{k}": bit for k, bit in enumerate(place)}
        ports |= {f"i_DI{side}{k}": bit for k, bit in enumerate(data)}
        ports |= {f"o_DO{side}{k}": bit for k, bit in enumerate(port.o)}
    return Instance("DP16KD", **parameters, **ports)
