"""Contract negotiation and transfer processes: the pure core. No I/O, no clock, no database."""
