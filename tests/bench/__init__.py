"""Benchmarks: what a message costs, where, and how far that is from the signature alone. `make bench` prints them.

`rig` configures and starts a fleet for a case, `receiving` the side that takes the mail; `work` is what is sent, `account` what
processes have spent. `delivery` measures the whole path with these, `peers` others beside it, `distance` both from far away
(`link`, `apart`), `scale` how cost grows (`steady`, `preloading`). `intake`, `queue`, `store`, `journal` and `lane` measure
parts. `figures` are medians of rounds and their tables, `report` the JSON, `chart` the picture. Figures hold for the machine
they were taken on: quote the ratios.
"""
