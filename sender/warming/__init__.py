"""Warmup at work: the plans' policy carried into the store, and into what lanes ask for.

1. `assignments` says which plan holds for which lane and sending identity; each that has one is a ward (`wards`).
2. `warmer`, run by every scheduler, judges what came of the day and writes progress and caps; `audit` tells who changed what,
   and `herald` the events of it.
3. `purses` carries an identity's units to its campaigns; `promotions` tells the store of replies that ask for none.
4. `warmth` says in each delivery process what a lane may ask for: caps, and whom it takes first.
"""
