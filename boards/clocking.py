"""The gateware's clock and reset: a PLL by its plan, and a reset until it has locked."""

from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib.cdc import ResetSynchronizer

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
        """Return PLL and reset; without a PLL registers begin as they are configured."""
        m = Module()
        if not self._plan.dividers:
            m.d.comb += [ClockSignal().eq(self._clock), ResetSignal().eq(0)]
            return m
        locked = Signal()
        make = {"ecp5": self._ecp5, "gowin": self._gowin, "xilinx": self._xilinx}
        make[self._plan.family](m, locked)
        m.submodules.reset = ResetSynchronizer(~locked)
        return m

    def _mhz(self, hz) -> str:
        return f"{float(hz) / 1e6:.6g}"

    def _ecp5(self, m: Module, locked: Signal) -> None:
        plan, out = self._plan, Signal(name="pll_clock")
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
        m.d.comb += ClockSignal().eq(out)

    def _gowin(self, m: Module, locked: Signal) -> None:
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
            o_CLKOUT=ClockSignal(),
            o_LOCK=locked,
        )

    def _xilinx(self, m: Module, locked: Signal) -> None:
        plan, out, feedback = self._plan, Signal(name="mmcm_clock"), Signal(name="mmcm_feedback")
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
        m.submodules.buffer = Instance("BUFG", i_I=out, o_O=ClockSignal())
