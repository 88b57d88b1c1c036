"""The gateware's clock: a PLL by its plan, and nothing at work until it has locked.

Registers begin as they are configured. Where a clock can be held back, it is, until the PLL has
locked; elsewhere a reset lasts until then. That one goes to every register of the board.
"""

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer

from ohmgrid.boards.clock_plan import ClockPlan

__all__ = ["Clocking"]


class Clocking(Elaboratable):
    """Drives domain ``sync``.

    Parameters
    ----------
    plan : ClockPlan
    clock : Value
        The board's clock, from its pin.
    part : str
        As amaranth-boards names it; a Gowin PLL wants to know.
    """

    def __init__(self, plan: ClockPlan, clock: Value, part: str) -> None:
        self._plan, self._clock, self._part = plan, clock, part

    def elaborate(self, platform):
        """Return PLL, and what waits for it."""
        m = Module()
        if not self._plan.dividers:
            m.d.comb += [ClockSignal().eq(self._clock), ResetSignal().eq(0)]
            return m
        locked = Signal()
        make = {"ecp5": self._ecp5, "gowin": self._gowin, "xilinx": self._xilinx}
        made = Signal(name="pll_clock")
        make[self._plan.family](m, made, locked)
        gates = {"ecp5": self._ecp5_gate, "xilinx": self._xilinx_gate}
        if self._plan.family in gates:
            m.domains.pll = ClockDomain("pll", local=True, reset_less=True)
            runs = Signal()
            m.submodules.locked = FFSynchronizer(locked, runs, o_domain="pll")
            m.d.comb += [ClockSignal("pll").eq(made), ResetSignal().eq(0)]
            m.submodules.gate = gates[self._plan.family](made, runs)
        else:
            m.d.comb += ClockSignal().eq(made)
            m.submodules.reset = ResetSynchronizer(~locked)
        return m

    def _mhz(self, hz) -> str:
        return f"{float(hz) / 1e6:.6g}"

    def _ecp5_gate(self, made: Signal, runs: Signal) -> Instance:
        return Instance("DCCA", i_CLKI=made, i_CE=runs, o_CLKO=ClockSignal())

    def _xilinx_gate(self, made: Signal, runs: Signal) -> Instance:
        return Instance("BUFGCE", i_I=made, i_CE=runs, o_O=ClockSignal())

    def _ecp5(self, m: Module, out: Signal, locked: Signal) -> None:
        plan = self._plan
        divider = plan.dividers["output"]
        m.submodules.pll = Instance(
            "EHXPLLL",
            # Filter and charge pump as the vendor's tool sets them for any of these rates.
            a_FREQUENCY_PIN_CLKI=self._mhz(plan.input_hz),
            a_FREQUENCY_PIN_CLKOP=self._mhz(plan.hz),
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=plan.dividers["input"],
            p_CLKFB_DIV=plan.dividers["feedback"],
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=divider,
            # Half a period of the output, less one: its edge lies on the input's.
            p_CLKOP_CPHASE=divider - 1,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self._clock,
            i_CLKFB=out,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=out,
            o_LOCK=locked,
        )

    def _gowin(self, m: Module, out: Signal, locked: Signal) -> None:
        plan = self._plan
        m.submodules.pll = Instance(
            "rPLL",
            p_FCLKIN=self._mhz(plan.input_hz),
            p_DEVICE=self._part,
            p_IDIV_SEL=plan.dividers["input"] - 1,
            p_FBDIV_SEL=plan.dividers["feedback"] - 1,
            p_ODIV_SEL=plan.dividers["output"],
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_DYN_DA_EN="false",
            p_DYN_SDIV_SEL=2,
            p_PSDA_SEL="0000",
            p_DUTYDA_SEL="1000",
            p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false",
            p_CLKOUTD_BYPASS="false",
            i_CLKIN=self._clock,
            i_CLKFB=0,
            i_RESET=0,
            i_RESET_P=0,
            i_FBDSEL=0,
            i_IDSEL=0,
            i_ODSEL=0,
            i_PSDA=0,
            i_DUTYDA=0,
            i_FDLY=0,
            o_CLKOUT=out,
            o_LOCK=locked,
        )

    def _xilinx(self, m: Module, out: Signal, locked: Signal) -> None:
        plan, feedback = self._plan, Signal(name="mmcm_feedback")
        primitive = "MMCME3_BASE" if self._part.startswith("xcku") else "MMCME2_BASE"
        m.submodules.pll = Instance(
            primitive,
            p_CLKIN1_PERIOD=1e9 / plan.input_hz,
            p_DIVCLK_DIVIDE=plan.dividers["input"],
            p_CLKFBOUT_MULT_F=float(plan.dividers["feedback"]),
            p_CLKOUT0_DIVIDE_F=float(plan.dividers["output"]),
            i_CLKIN1=self._clock,
            i_CLKFBIN=feedback,
            i_RST=0,
            i_PWRDWN=0,
            o_CLKFBOUT=feedback,
            o_CLKOUT0=out,
            o_LOCKED=locked,
        )
