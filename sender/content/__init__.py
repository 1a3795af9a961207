"""What is in a message, from a campaign's specification to signed octets; pure: `now` is an argument, nothing is sent.

1. `spec` reads the campaign's JSON (`campaign_file` its TOML), `row` a recipient's row, `address` the address in it.
2. `template` compiles the campaign once: `slots` cuts its templates, `logic` and `filters` bound what they may do, `mime`,
   `quoted` and `headers` write the octets that are the same for all. `raw` takes a ready-made message instead.
3. `compose` fills the slots for one envelope, with the tokens of `token`: a `message.Composed`.
4. `canonical` and `sign` make its DKIM signatures; `key` stays in the signer's process.
"""
