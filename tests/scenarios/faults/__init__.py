"""The fault matrix: real processes, one fault at a time, and one judge for all of them.

A `Row` is a name, an injection and a bound. The injection plays a fault against a running fleet (`Scene` has the tools) and
gives back who may have got the message although nobody recorded it: nobody else may get a second copy, and nobody a third.
The judge believes the receivers' own record and the queue's counters, and holds one against the other:

- lost: a recipient who is in nobody's record and did not end as anything but delivered;
- doubled: a recipient with two copies; allowed is who was in doubt;
- seconds: from the fault to the last recipient's final state.
"""
