"""Examples for a core: out of a stream of bytes, or by their numbers out of a memory."""

from amaranth.hdl import Cat, Module, Mux, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.sdram import SDRAM_ACCESS
from ohmgrid.hdl.core.example_decoder import BYTE, FORM, TABLE_WRITE, ExampleDecoder
from ohmgrid.hdl.core.example_memory import ExampleMemory
from ohmgrid.hdl.core.sdram_examples import SdramExamples
from ohmgrid.registers.examples import NUMBER_BITS, VALUE_BITS, ExampleError

__all__ = ["ExampleStore"]


class ExampleStore(wiring.Component):
    """Gives a core's stream ``i`` what a step TAKE takes: a label, then its inputs.

    Parameters
    ----------
    size, examples : int
        Bytes of memory, and most examples in block RAM. Without any nothing is kept: examples are
        given as they come, and each order is an error.
    sdram : bool
        The memory is an SDRAM of the board's.

    Members
    -------
    i : In(stream.Signature(BYTE))
        Examples, as `docs/examples.md` has them.
    kept : In(1)
        They are kept, and given as `order` says; else they are given as they come, and an order
        waits. It changes while not `busy`, and between two examples of `i`.
    forget : In(1)
        Strobe: forget all that is kept.
    stored : Out
        Examples that are kept.
    order : In(stream.Signature(24))
        Numbers of examples, from 0.
    form : In(FORM)
        Format; constant while `busy`.
    table : In(TABLE_WRITE)
        Value of a pixel; likewise.
    o : Out(stream.Signature(signed(16)))
        Of each example the label, then the values.
    clear : In(1)
        Strobe: no error has been seen.
    errors : Out(5)
        Bits of `ohmgrid.registers.examples.ExampleError`: errors since then.
    busy : Out(1)
        An example is on its way to the core, or into an SDRAM.
    sdram : Out(SDRAM_ACCESS)
        With an SDRAM: the way to it.
    """

    def __init__(self, size: int = 16384, examples: int = 256, sdram: bool = False):
        self._decoder = ExampleDecoder()
        self._memory, self._sdram = None, sdram
        if size:
            self._memory = SdramExamples(size) if sdram else ExampleMemory(size, examples)
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "kept": In(1),
                "forget": In(1),
                "stored": Out(self._memory.stored.shape() if self._memory else 1),
                "order": In(stream.Signature(NUMBER_BITS)),
                "form": In(FORM),
                "table": In(TABLE_WRITE),
                "o": Out(stream.Signature(signed(VALUE_BITS))),
                "clear": In(1),
                "errors": Out(len(ExampleError)),
                "busy": Out(1),
                **({"sdram": Out(SDRAM_ACCESS)} if self._memory and sdram else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = self._decoder
        wiring.connect(m, decoder.o, wiring.flipped(self.o))
        m.d.comb += [decoder.form.eq(self.form), decoder.table.eq(self.table)]
        seen = [decoder.short, decoder.long, decoder.code]
        if self._memory is None:
            wiring.connect(m, wiring.flipped(self.i), decoder.i)
            m.d.comb += [self.busy.eq(decoder.busy), self.order.ready.eq(1)]
            seen.append(self.order.valid)
        else:
            m.submodules.memory = self._memory
            if self._sdram:
                wiring.connect(m, self._memory.sdram, wiring.flipped(self.sdram))
            seen += self._keep(m, decoder, self._memory)
        m.d.sync += self.errors.eq(Mux(self.clear, 0, self.errors) | Cat(seen))
        return m

    def _keep(self, m, decoder, memory):
        """Put the memory before the decoder; return its two strobes of errors."""
        m.d.comb += [
            memory.i.payload.eq(self.i.payload),
            memory.i.valid.eq(self.i.valid & self.kept),
            decoder.i.payload.eq(Mux(self.kept, memory.o.payload, self.i.payload)),
            decoder.i.valid.eq(Mux(self.kept, memory.o.valid, self.i.valid)),
            self.i.ready.eq(Mux(self.kept, memory.i.ready, decoder.i.ready)),
            memory.o.ready.eq(decoder.i.ready & self.kept),
            memory.forget.eq(self.forget),
            self.stored.eq(memory.stored),
            memory.order.payload.eq(self.order.payload),
            memory.order.valid.eq(self.order.valid & self.kept),
            self.order.ready.eq(memory.order.ready & self.kept),
            self.busy.eq(decoder.busy | memory.busy),
        ]
        return [memory.number, memory.full]
