"""Synthesis of any component alone: what it costs by part, and how fast it runs.

No board is needed: yosys counts cells, and on request nextpnr places and routes the component with
every port in a register at the edge of a large package (`ohmgrid.boards.pins`).

Two syntheses are made. One keeps the submodules apart and gives a row for each; equal ones are
synthesised once. The other flattens the design as a bitstream does, lets yosys optimise across
the borders, and gives the total; so the rows do not add up to it.

Memories: yosys builds logic around a block RAM for the case that a word is read while it is
written. The lanes never do that, so by default that case is "don't care" here as in the boards'
builds (``collisions=True`` pays for it).
"""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.lib import wiring

from ohmgrid.boards.pins import Pins
from ohmgrid.boards.synth_report import SynthReport, count, parts, placed
from ohmgrid.boards.synthesis import FAMILIES, synthesis
from ohmgrid.doors.checks import ConfigError
from ohmgrid.tools import toolchain
from ohmgrid.tools.export import ports
from ohmgrid.tools.rtlil import merge_modules

__all__ = ["DEVICES", "Target", "dont_care_collisions", "elaborated", "synth"]

_NEXTPNR = {
    "ecp5": "nextpnr-ecp5",
    "ice40": "nextpnr-ice40",
    "ice40hx": "nextpnr-ice40",
}
_UNCONSTRAINED = {
    "ecp5": ["--lpf-allow-unconstrained"],
    "ice40": ["--pcf-allow-unconstrained"],
    "ice40hx": ["--pcf-allow-unconstrained"],
}
"""Pins may lie anywhere."""
_TARGETS = {"gowin": "GW2A-18C"}
"""What a platform calls a family where that is another name."""

# device -> (family, arguments of nextpnr, pins left beside clock and reset)
DEVICES = {
    "25k": ("ecp5", ["--25k", "--package", "CABGA381", "--speed", "6"], 195),
    "45k": ("ecp5", ["--45k", "--package", "CABGA554", "--speed", "6"], 243),
    "85k": ("ecp5", ["--85k", "--package", "CABGA756", "--speed", "6"], 363),
    "up5k": ("ice40", ["--up5k", "--package", "sg48"], 35),
    "hx8k": ("ice40hx", ["--hx8k", "--package", "ct256"], 204),
}
"""Devices that `synth` places and routes for, each in its largest usual package."""

CLOCK_PINS = {"25k": "P3", "45k": "K23", "85k": "B29"}
"""A pin of each ECP5 package with a way to the clock network; not every pin has a free one."""

_LUT_RAM = re.compile(r'(?m)^ *attribute \\ram_style "distributed"\n')
"""A wish that iCE40 cannot fulfil, and for which yosys would stop: it has no LUT RAM."""
_READ_PORT = re.compile(r"(?ms)^  cell \$memrd_v2 .*?^  end$")


def dont_care_collisions(design: str) -> str:
    """Return the RTLIL with "don't care" for words read while they are written.

    Only clocked read ports that show the old word have anything to give up.
    """

    def give_up(port: re.Match[str]) -> str:
        text = port[0]
        clocked = re.search(r"\\CLK_ENABLE (1'1|1)$", text, re.MULTILINE)
        if not clocked or not re.search(r"\\TRANSPARENCY_MASK \d+'0+$", text, re.MULTILINE):
            return text
        return re.sub(
            r"(\\COLLISION_X_MASK )(\d+)'0+$",
            lambda mask: f"{mask[1]}{mask[2]}'{'1' * int(mask[2])}",
            text,
            flags=re.MULTILINE,
        )

    return _READ_PORT.sub(give_up, design)


def synth(
    component: wiring.Component | Callable[[], wiring.Component],
    family: str = "ecp5",
    *,
    name: str = "top",
    by_part: bool = True,
    collisions: bool = False,
    pnr: bool = False,
    device: str | None = None,
    freq_mhz: float = 100.0,
    seed: int = 1,
    router: str = "router2",
    out: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> SynthReport:
    """Synthesise a component alone.

    Parameters
    ----------
    component : wiring.Component or callable
        The component, or what returns a new one each time; `pnr` needs the latter, because a
        component is elaborated once.
    family : str
        Of `FAMILIES`.
    name : str
        For the report.
    by_part : bool
        Count the submodules too.
    collisions : bool
        Keep the logic for words read while they are written.
    pnr : bool
        Place and route too; minutes for a large component.
    device : str, optional
        Of `DEVICES`; the family's first one if not given.
    freq_mhz : float
        What the placer aims at; missing it is no error.
    seed : int
        Of the placer.
    router : str
        Of nextpnr: ``router1`` or ``router2``, which ends on large designs too.
    out : Path, optional
        Folder that keeps netlists, reports and logs.
    on_line : callable, optional
        Called with each line of the tools.

    Raises
    ------
    ToolMissing, ToolFailed
        See `ohmgrid.tools.toolchain`.
    """
    if family not in FAMILIES:
        raise ValueError(f"expected a family of {', '.join(FAMILIES)}, got {family!r}")
    fitting = [known for known, (of, _, _) in DEVICES.items() if of == family]
    if pnr and not fitting:
        raise ConfigError(
            "pnr", f"expected ecp5, ice40 or ice40hx, got {family}, which needs sites"
        )
    device = device or (fitting[0] if fitting else None)
    if device is not None and device not in fitting:
        raise ConfigError(
            "device", f"expected one of {', '.join(fitting)} for {family}, got {device}"
        )
    if pnr and isinstance(component, wiring.Component):
        raise TypeError("expected a callable that makes the component for place and route, got one")
    if not 0 < freq_mhz <= 1000:
        raise ConfigError("freq", f"expected more than 0, up to 1000 MHz, got {freq_mhz:g}")
    make = (lambda: component) if isinstance(component, wiring.Component) else component
    start = time.monotonic()
    with _folder(out) as work:
        yosys = toolchain.find("yosys")
        tools = [str(yosys)]
        design = elaborated(make(), family, collisions)
        run = _Yosys(yosys, family, work, on_line)
        total = count(run("flat", design)["top"], family)
        rows = []
        if by_part:
            rows = parts(run("parts", merge_modules(design, share=0), "-noflatten"), family)
        timing = {}
        if pnr:
            nextpnr = toolchain.find(_NEXTPNR[family])
            tools.append(str(nextpnr))
            assert device is not None
            _, arguments, pins = DEVICES[device]
            wrapped = Pins(make(), pins)
            run("pnr", elaborated(wrapped, family, collisions), "-json pnr.json")
            if device in CLOCK_PINS:
                pin = f'LOCATE COMP "clk" SITE "{CLOCK_PINS[device]}";\n'
                (work / "pnr.lpf").write_text(pin, encoding="utf-8")
                arguments = [*arguments, "--lpf", "pnr.lpf"]
            toolchain.run(
                nextpnr,
                [
                    *(*arguments, "--json", "pnr.json", "--report", "report.json"),
                    *_UNCONSTRAINED[family],
                    *("--freq", str(freq_mhz), "--seed", str(seed), "--router", router),
                    "--timing-allow-fail",
                ],
                cwd=work,
                log=work / "nextpnr.log",
                on_line=on_line,
            )
            report = json.loads((work / "report.json").read_text(encoding="utf-8"))
            timing = {"device": device, "folded": wrapped.folded, **placed(report)}
        done = SynthReport(
            name=name,
            family=family,
            tools=tools,
            total=total,
            parts=rows,
            seconds=round(time.monotonic() - start, 1),
            **timing,
        )
        if out:
            (work / "synth.json").write_text(done.to_json() + "\n", encoding="utf-8")
    return done


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out:
        out.mkdir(parents=True, exist_ok=True)
        yield out.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="ohmgrid-synth-") as folder:
            yield Path(folder)


def elaborated(component: wiring.Component, family: str, collisions: bool = False) -> str:
    """Return what yosys is given of a component, its top module called ``top``; see `synth`."""
    target = Target(_TARGETS.get(family, family))
    text = rtlil.convert(component, "top", target, ports=ports(component), emit_src=False)
    if family.startswith("ice40"):
        text = _LUT_RAM.sub("", text)
    return text if collisions else dont_care_collisions(text)


@dataclass(frozen=True)
class Target:
    """What a component is elaborated for: it names the family, as Amaranth's platforms do."""

    family: str


@dataclass(frozen=True)
class _Yosys:
    """Synthesises RTLIL texts in a folder; returns module -> cell type -> number."""

    tool: toolchain.Tool
    family: str
    work: Path
    on_line: Callable[[str], None] | None

    def __call__(self, name: str, design: str, options: str = "") -> dict[str, dict[str, int]]:
        (self.work / f"{name}.il").write_text(design, encoding="utf-8")
        toolchain.run(
            self.tool,
            [
                "-p",
                f"read_rtlil {name}.il; {synthesis(self.family, options)};"
                f" tee -q -o {name}-stat.json stat -json",
            ],
            cwd=self.work,
            log=self.work / f"yosys-{name}.log",
            on_line=self.on_line,
        )
        stat = json.loads((self.work / f"{name}-stat.json").read_text(encoding="utf-8"))
        return {
            module.removeprefix("\\"): numbers.get("num_cells_by_type", {})
            for module, numbers in stat["modules"].items()
        }
