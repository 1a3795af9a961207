"""What one delivered message costs, in counts: the guard that a careless change runs into.

A whole delivery process works here in one thread: the parts that `sender.assembly` puts together, a real Valkey, the journal,
signatures over their own protocol, STARTTLS. What would depend on a processor's speed is taken out: the clock is virtual and
moves only while receivers take their round trip (`wire`), and what otherwise waits in threads is done at once (`process`).
So the same work comes to the same counts on any machine; `counting` counts them, `test_costs` has the bounds.
"""
