"""The emulated internet: a DNS server and SMTP receivers on loopback that answer as the real ones are known to.

It takes part in `penstock demo` and in the tests, and it judges us independently: nothing here imports the sender.

1. `world` says which receivers there are and which domains they host; `behaviour` and `wording` say how each replies.
2. `zone` holds the DNS records of that world, `dns` serves them.
3. `doors` accepts connections for `smtp`; `dialogue` is the protocol as a pure machine; `visit` asks `standing` what the
   source may do now.
4. `ledger` counts what happened and hands each accepted message to `verifier`, which judges its DKIM signatures elsewhere.
5. `internet` ties them together in a process of the caller, `process` as a process of its own, which takes `requests`.
6. `strikes` and `doors` let things befall these receivers while they run: held up, hung up on, shut.
7. `tail` has a hundred thousand small domains where they are wanted.
8. `faults` is apart: receivers that break the protocol on purpose, one fault each.

Nothing is bound but loopback addresses, and nothing is looked up outside.
"""
