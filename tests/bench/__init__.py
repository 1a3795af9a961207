"""Benchmarks: what a message costs, where, and how far that is from the signature alone. `make bench` prints them.

`rig` starts a fleet and a receiving side and counts what each process spent; `delivery` sends through the whole path;
`intake` submits and expands. Figures hold for the machine they were taken on: quote the ratios.
"""
