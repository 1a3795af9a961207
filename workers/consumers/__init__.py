"""Who follows the events: the files and webhooks that a `[[consumer]]` of the configuration names.

1. `tenure` holds the streams of a consumer's group, beats, and takes over those of a reader that beats no more.
2. `consumer` reads them, hands what it is given to a sink, and acknowledges it once the sink has it.
3. A sink (`sink`) is where events go: `file`, or `webhook` with `signature` and `http`; `assembly` makes them.
4. `letters` says what could not be delivered, and `replay` sends it again, when an operator asks for it.
5. `role` is the process: all consumers of the configuration, side by side.

Delivery knows nothing of them: they follow the streams at their own pace, in a process of their own.
"""
