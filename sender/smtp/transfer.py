"""One transaction on its way: what is left to say, what was answered, and how far its content got."""

from sender.model import Reply, Result, Step, Transaction


class Transfer:
    """A transaction between `send` and its Result. Written by the pipeline alone."""

    __slots__ = ("answer", "content", "end_group", "end_tail", "script", "size", "transaction")

    def __init__(self, transaction: Transaction, content: tuple[bytes, ...]) -> None:
        self.transaction = transaction
        self.content = content  # as it goes on the wire, in pieces; none once it went
        self.size = sum(map(len, content))
        self.script: list[tuple[Step, bytes]] = []  # in lock-step, the lines that wait for a reply
        self.answer: tuple[Step, Reply] | None = None  # what decides: the first refusal, else the reply to the end of data
        self.end_group = 0  # the write group that carried the end of the content; 0 until one did
        self.end_tail = 0  # octets behind that end in the same group

    def result(self) -> Result:
        """The Result of a transfer that was answered."""
        assert self.answer is not None
        step, reply = self.answer
        return Result(transaction=self.transaction, step=step, reply=reply)
