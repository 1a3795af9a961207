"""A fleet on virtual time: the real engine, lanes, policy and SMTP client against the emulated receivers, in one process.

A day of mail takes seconds, and the same seed always comes to the same end. Whoever wants to know something plays it:

1. `Setup` says with what: settings (sources, their plans, receivers, retries), the emulated world, the seed, the first moment,
   and the `stages` that lanes have got to. Receivers know a source that has no plan, and such a lane, from before.
2. `play(setup, story)` in `stage` runs `story(stage)`, an async function, on a clock that jumps to whatever happens next. The
   story submits campaigns (`stage.submit`), waits for them (`stage.finished`), for a moment (`stage.sleep_until`), and reads
   `stage.clock()`, `stage.queue` and `stage.internet`. `setup.on_attempt` is told of each attempt.

       async def eta(stage: Stage) -> float:
           await stage.submit("spring", [Recipients(receiver="google", count=5_000)])
           await stage.finished("spring")
           return stage.clock() - stage.setup.start

       seconds = play(Setup(settings=load(directory)), eta)

3. `parts` puts the delivery process together; `wire` stands for the network: octets in memory, a round trip apart, in clear.
4. Beside the story run the engine, and what a scheduler does: due envelopes become ready, the warmup's rounds are held, and
   complaints arrive by the hour. Time that nothing happens in costs next to nothing.
5. `mailing` is a calendar as data (volumes, receivers, the list's segments, what befalls it); `keep_diary` in `diary` plays
   it day by day, and gives what came of each lane on each day (`record`). `comparison` does so with one plan after another.

Left out, because it says nothing about receivers: DNS, TLS, signatures, suppressions, other processes, Redis.
"""
