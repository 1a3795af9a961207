"""The network, as trio sees it: from a domain to a reply, in steps.

1. `resolver` finds a domain's mail hosts and their addresses; `cache` remembers them.
2. `pool` decides which sessions to reuse, open and close; it is pure, the caller acts.
3. `opening` goes through hosts and addresses: `addresses` judges, `dial` connects, `tls` has the contexts, `hosts` remembers
   who was dead, whose TLS is broken and who may be pipelined.
4. `session` takes transactions and reports results; `conversation` drives the SMTP machine over a `stream`, each step in its
   time.

What trio, ssl and the system raise ends in `stream` and `dial`, as TransportError; in `opening` and `session` that becomes a
value, a Failure. `signing` is the way to the signer processes.
"""
