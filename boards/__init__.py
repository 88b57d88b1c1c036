"""FPGA boards: tools, clocks, links, and reports of what fits and how fast it runs."""
