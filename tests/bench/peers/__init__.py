"""Others beside the engine, in the same run: each round sends through the engine first and then through every peer.

`contender` measures one; `postfix`, `nodemailer` and `aiosmtplib` say how each is set up; `senders` are the programs that send
from memory. All do the same work (`tests.bench.work`) into the same receiving side, and what is timed is injection to last 250.
"""
