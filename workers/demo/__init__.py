"""`penstock demo`: the main job on one machine, with nothing to set up.

1. `scene` makes a temporary directory, keys and a configuration in it, and starts the emulated internet and the fleet.
2. `mailing` writes the campaign: a template with merge fields, and a list of recipients that is as clean as lists are.
3. `view` shows what happens while it happens, and sums up: every recipient in one final state, the receivers' own count
   beside ours, every signature judged.

The engine is the real one, in the processes that `penstock run` starts. What is emulated is the rest of the world.
"""
