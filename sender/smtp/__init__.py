"""SMTP as a pure machine: replies in, commands out; no socket and no clock.

One session in order:

1. `Client(options)` waits for the greeting. Feed it with `receive`, write what `data_to_send` returns.
2. EHLO, or HELO where EHLO is refused; STARTTLS as the TLS policy asks. On `StartTls` the caller does the handshake on a
   clean buffer and calls `tls_started`; capabilities learnt in clear are forgotten.
3. `Ready`: hand transactions over with `send` while `wants` is positive. Each ends in exactly one Result: returned by
   `send` when the receiver's extensions rule it out, in a `Finished` event, or from `lost`.
4. `quit` when idle, or `lost` whenever the connection is gone, whatever the reason.

`reply` reads what the receiver says, `command` writes single lines, `capability` reads EHLO, `dialogue` matches replies
with what was asked, `pipeline` drives the transactions, and `client` is the session around them.
"""
