"""Verilog of the vendors' multipliers and block RAMs: what yosys has no model of.

They are written from the manuals, for the ports, modes and widths that this project uses; what they
do not hold is refused by an assertion. `tests/base/test_multiplier.py` and `test_block_ram.py` hold
them to the portable bodies. A word that is read at one port while it is written at the other one is
undefined: it comes out inverted.
"""

__all__ = ["DP16KD", "GOWIN_MULTIPLIERS", "GOWIN_RAMS", "MODELS", "MULT18X18D"]


def _bus(name: str, bits: int) -> str:
    """Return the names of a bus whose bits are ports, highest first."""
    return ", ".join(f"{name}{k}" for k in reversed(range(bits)))


# Lattice TN1267: operands as wide as the block, each signed or not; a register is there if it has a
# clock, moves with its clock enable and is cleared with its reset.
MULT18X18D = f"""
module MULT18X18D(input {_bus("A", 18)}, {_bus("B", 18)}, {_bus("C", 18)},
    SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3,
    RST0, RST1, RST2, RST3, output {_bus("P", 36)});
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";
    wire [17:0] a = {{{_bus("A", 18)}}}, b = {{{_bus("B", 18)}}};
    reg [17:0] held_a = 0, held_b = 0;
    reg [35:0] held_o = 0;
    wire [17:0] at_a = REG_INPUTA_CLK == "CLK0" ? held_a : a;
    wire [17:0] at_b = REG_INPUTB_CLK == "CLK0" ? held_b : b;
    wire [35:0] wide_a = {{{{18{{SIGNEDA & at_a[17]}}}}, at_a}};
    wire [35:0] wide_b = {{{{18{{SIGNEDB & at_b[17]}}}}, at_b}};
    wire [35:0] o = wide_a * wide_b;
    always @(posedge CLK0)
        if (RST0) {{held_a, held_b, held_o}} <= 0;
        else if (CE0) {{held_a, held_b, held_o}} <= {{a, b, o}};
    assign {{{_bus("P", 36)}}} = REG_OUTPUT_CLK == "CLK0" ? held_o : o;
    always @* assert(!SOURCEA && !SOURCEB);
endmodule
"""


def _ecp5_side(port: str, other: str) -> str:
    """Return what one port of a DP16KD does: it reads or writes in each of its cycles."""
    return f"""
    wire [13:0] ad{port} = {{{_bus(f"AD{port}", 14)}}};
    wire [13:0] place{port} = ad{port} >> SHIFT;
    wire on{port} = CE{port} && !(CS{port}0 | CS{port}1 | CS{port}2);
    wire [35:0] bytes{port} = DATA_WIDTH_A < 18 ? -1 :
        {{{{9{{AD{port}3}}}}, {{9{{AD{port}2}}}}, {{9{{AD{port}1}}}}, {{9{{AD{port}0}}}}}};
    wire [35:0] data{port} = {{WIDE ? di_b : 18'b0, di_{port.lower()}}};
    wire both{port} = on{other} && WE{other} && place{other} == place{port};
    reg [35:0] latch{port} = 0, out{port} = 0;
    always @(posedge CLK{port}) begin
        if (on{port} && WE{port})
            words[place{port}] <=
                (words[place{port}] & ~bytes{port}) | (data{port} & bytes{port});
        if (on{port} && (!WE{port} || WRITEMODE_{port} == "READBEFOREWRITE"))
            latch{port} <= both{port} ? ~words[place{port}] : words[place{port}];
        if (OCE{port}) out{port} <= latch{port};
    end
    wire [35:0] o{port} = REGMODE_{port} == "OUTREG" ? out{port} : latch{port};
"""


# Lattice TN1264: a true dual port memory, WRITEMODE NORMAL (no read in a cycle that writes) or
# READBEFOREWRITE (what was there before), words of 18 or 36 bits in bytes that the lowest bits of
# the address enable. 36 bits are written at port A and read at B, on the pins of both.
DP16KD = f"""
module DP16KD({
    ", ".join(
        f"input CLK{p}, CE{p}, OCE{p}, WE{p}, RST{p}, CS{p}0, CS{p}1, CS{p}2, {_bus(f'AD{p}', 14)},"
        f" {_bus(f'DI{p}', 18)}, output {_bus(f'DO{p}', 18)}"
        for p in "AB"
    )
});
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "AUTO";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter {", ".join(f"INITVAL_{k:02X} = 320'b0" for k in range(64))};
    localparam WIDE = DATA_WIDTH_A == 36;
    localparam SHIFT = WIDE ? 5 : DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3 :
        DATA_WIDTH_A == 4 ? 2 : DATA_WIDTH_A == 2 ? 1 : 0;
    reg [35:0] words [16383:0];
    wire [17:0] di_a = {{{_bus("DIA", 18)}}}, di_b = {{{_bus("DIB", 18)}}};
    {_ecp5_side("A", "B")}
    {_ecp5_side("B", "A")}
    assign {{{_bus("DOA", 18)}}} = WIDE ? oB[17:0] : oA[17:0];
    assign {{{_bus("DOB", 18)}}} = WIDE ? oB[35:18] : oB[17:0];
    always @* begin
        assert(DATA_WIDTH_A == DATA_WIDTH_B && !(WIDE && WEB) && !RSTA && !RSTB);
        assert(WRITEMODE_A == "NORMAL" || WRITEMODE_A == "READBEFOREWRITE");
        assert(WRITEMODE_B == "NORMAL" || WRITEMODE_B == "READBEFOREWRITE");
        assert(!({" | ".join(f"(|INITVAL_{k:02X})" for k in range(64))}));
    end
endmodule
"""


def _gowin_multiplier(bits: int) -> str:
    """Return a multiplier, as Gowin UG287 says of ports and registers; SIA and SIB are unused."""
    return f"""
module MULT{bits}X{bits}(input [{bits - 1}:0] A, SIA, B, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE,
    CLK, RESET, output [{2 * bits - 1}:0] DOUT);
    parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0;
    reg [{bits - 1}:0] held_a = 0, held_b = 0;
    reg [{2 * bits - 1}:0] held_o = 0;
    wire [{bits - 1}:0] at_a = AREG ? held_a : A, at_b = BREG ? held_b : B;
    wire [{2 * bits - 1}:0] wide_a = {{{{{bits}{{ASIGN & at_a[{bits - 1}]}}}}, at_a}};
    wire [{2 * bits - 1}:0] wide_b = {{{{{bits}{{BSIGN & at_b[{bits - 1}]}}}}, at_b}};
    wire [{2 * bits - 1}:0] o = wide_a * wide_b;
    always @(posedge CLK)
        if (RESET) {{held_a, held_b, held_o}} <= 0;
        else if (CE) {{held_a, held_b, held_o}} <= {{A, B, o}};
    assign DOUT = OUT_REG ? held_o : o;
    always @* assert(!ASEL && !BSEL);
endmodule
"""


GOWIN_MULTIPLIERS = _gowin_multiplier(9) + _gowin_multiplier(18)


def _gowin_ram(name: str, bits: int, kind: str) -> str:
    """Return a block RAM, as Gowin UG285 says of it.

    Parameters
    ----------
    name : str
    bits : int
        Of the widest word: bytes are of eight bits, or of nine.
    kind : str
        ``single``: one port; ``dual``: two, each reads or writes in its cycles; ``split``: A writes
        and B reads.
    """
    byte = 9 if bits % 9 == 0 else 8
    sides = "A" if kind == "single" else "AB"
    ports, parameters, body, checks = [], [], [], []
    for index, side in enumerate(sides):
        p, n = ("", "") if kind == "single" else (side, f"_{index}")
        m = str(index) if kind == "dual" else ""
        writes, reads = kind != "split" or side == "A", kind != "split" or side == "B"
        data = "" if kind == "split" else p
        ports.append(f"input CLK{p}, CE{p}, RESET{p}, input [2:0] BLKSEL{p}, input [13:0] AD{p}")
        parameters.append(f"parameter BIT_WIDTH{n} = {bits}, BLK_SEL{n} = 3'b000;")
        write = "1'b0"
        if writes:
            ports.append(f"input [{bits - 1}:0] DI{data}")
            write = f"CE{p}"
            if kind != "split":
                ports.append(f"input WRE{p}")
                parameters.append(f"parameter WRITE_MODE{m} = 2'b00;")
                checks.append(f"WRITE_MODE{m} < 2")
                write += f" && WRE{p}"
        checks += [f"!BLKSEL{p}", f"!RESET{p}", f"BIT_WIDTH{n} == BIT_WIDTH{n.replace('1', '0')}"]
        body.append(f"""
    wire [13:0] place{side} = AD{p} >> SHIFT;
    wire write{side} = {write};""")
        if writes:
            enables = ", ".join(f"{{{byte}{{AD{p}[{k}]}}}}" for k in reversed(range(bits // byte)))
            body.append(f"""
    wire [{bits - 1}:0] bytes{side} = SHIFT < 4 ? -1 : {{{enables}}};
    always @(posedge CLK{p}) if (write{side}) words[place{side}] <=
        (words[place{side}] & ~bytes{side}) | (DI{data} & bytes{side});""")
        if reads:
            other = {"A": "B", "B": "A"}[side]
            both = "1'b0" if kind == "single" else f"write{other} && place{other} == place{side}"
            through = ""
            if kind != "split":
                through = f"""
        else if (CE{p} && WRITE_MODE{m} == 1)
            latch{side} <= (words[place{side}] & ~bytes{side}) | (DI{data} & bytes{side});"""
            ports.append(f"input OCE{data}, output [{bits - 1}:0] DO{data}")
            parameters.append(f"parameter READ_MODE{m} = 1'b0;")
            body.append(f"""
    reg [{bits - 1}:0] latch{side} = 0, out{side} = 0;
    always @(posedge CLK{p}) begin
        if (CE{p} && !write{side})
            latch{side} <= {both} ? ~words[place{side}] : words[place{side}];{through}
        if (OCE{data}) out{side} <= latch{side};
    end
    assign DO{data} = READ_MODE{m} ? out{side} : latch{side};""")
    width = "BIT_WIDTH" if kind == "single" else "BIT_WIDTH_0"
    return f"""
module {name}({", ".join(ports)});
    {" ".join(parameters)}
    parameter RESET_MODE = "SYNC";
    parameter {", ".join(f"INIT_RAM_{k:02X} = {32 * byte}'b0" for k in range(64))};
    localparam SHIFT = {width} > 18 ? 5 : {width} > 9 ? 4 : {width} > 4 ? 3 : {width} >> 1;
    reg [{bits - 1}:0] words [16383:0];{"".join(body)}
    always @* begin
        assert({" && ".join(checks)});
        assert(!({" | ".join(f"(|INIT_RAM_{k:02X})" for k in range(64))}));
    end
endmodule
"""


GOWIN_RAMS = "".join(
    _gowin_ram(*each)
    for each in (
        *(("SP", 32, "single"), ("SPX9", 36, "single")),
        *(("DPB", 16, "dual"), ("DPX9B", 18, "dual")),
        *(("SDPB", 32, "split"), ("SDPX9B", 36, "split")),
    )
)

MODELS = {"ecp5": MULT18X18D + DP16KD, "gowin": GOWIN_MULTIPLIERS + GOWIN_RAMS, "ice40": ""}
"""family -> what is read over yosys' own models of its cells."""
