"""Lines and what makes their keys, as tests of lines run them."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ohmgrid.config import Config
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.periphery.lines import Lines

__all__ = ["KeyedLines"]

INNER = ("asks", "granted", "key_made")


class KeyedLines(wiring.Component):
    """`Lines`, and ``others``: in this cycle the key of somebody else is made."""

    def __init__(self, config: Config):
        self.lines = Lines(config)
        members = self.lines.signature.members.items()
        self._outer = [name for name, _ in members if name not in INNER]
        super().__init__(
            {name: member for name, member in members if name not in INNER} | {"others": In(1)}
        )

    def cycles(self, *args, **kwargs) -> int:
        """Return the cycles of a pass, if nobody else has keys made."""
        return self.lines.cycles(*args, **kwargs)

    def elaborate(self, platform):
        m = Module()
        m.submodules.lines = lines = self.lines
        m.submodules.line_key = line_key = LineKey()
        for name in self._outer:
            own, inner = getattr(self, name), getattr(lines, name)
            into = lines.signature.members[name].flow == In
            m.d.comb += inner.eq(own) if into else own.eq(inner)
        m.d.comb += [
            *(
                getattr(line_key, name).eq(lines.asks[name])
                for name in ("key", "index", "sub", "purpose")
            ),
            lines.granted.eq(~self.others),
            lines.key_made.eq(line_key.o),
        ]
        return m
