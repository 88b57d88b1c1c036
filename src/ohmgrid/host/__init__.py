"""What drives any gateware, simulated or real: its registers and its commands."""
