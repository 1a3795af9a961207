"""What was asked and not yet answered, in order, and the octets that wait to be written.

The rules of the session are here:

- Each command appends one expected reply; replies are matched in order. There is no other state of the conversation.
- A reply is right (of the kind its command completes with), a refusal (4yz, 5yz), or out of place, which is an error: 354
  to anything but DATA, 250 to DATA, 220 or 221 where nothing was greeted or closed. So is a reply to nothing, or to a
  command that has not left us yet.
- An error says nothing about any message. A receiver that answered the end of data with a line that is no reply, followed
  by 221 to a pipelined QUIT, has been taken to accept mail that it had dropped.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sender.errors import RemoteProtocolError
from sender.model import Reply, Step
from sender.smtp.transfer import Transfer

_COMPLETED = frozenset(range(200, 300)) - {220, 221}  # 220 only greets or starts TLS, 221 only closes
_RIGHT: Mapping[Step, frozenset[int]] = MappingProxyType(
    {
        Step.GREETING: frozenset({220}),
        Step.EHLO: _COMPLETED,
        Step.STARTTLS: frozenset({220}),
        Step.MAIL: _COMPLETED,
        Step.RCPT: _COMPLETED,
        Step.DATA: frozenset({354}),
        Step.DOT: _COMPLETED,
        Step.RSET: _COMPLETED,
    }
)


class Dialogue:
    """The write group being built and the queue of expected replies."""

    __slots__ = ("_ends", "_expected", "_group", "_output", "_unsent", "_withheld")

    def __init__(self) -> None:
        self._output: list[bytes] = []
        self._ends: list[tuple[int, Transfer]] = []  # how many pieces of the output belong to a transfer's content and before
        self._group = 0  # write groups handed out so far
        self._expected: list[tuple[Step, Transfer | None]] = []  # few at a time: an empty deque takes 760 octets
        self._unsent = 0  # the last so many expected replies belong to commands still in the output
        self._withheld = False  # nothing is handed out any more

    @property
    def step(self) -> Step | None:
        """The step whose reply is due next."""
        return self._expected[0][0] if self._expected else None

    @property
    def answerable(self) -> bool:
        """Whether a command has left us that waits for its reply."""
        return len(self._expected) > self._unsent

    @property
    def ending(self) -> tuple[Transfer, ...]:
        """The transfers whose end of data is in the output."""
        return tuple(transfer for _, transfer in self._ends)

    def ask(self, step: Step, line: bytes, transfer: Transfer | None = None) -> None:
        self._output.append(line)
        self._expected.append((step, transfer))
        self._unsent += 1

    def ask_several(self, script: Sequence[tuple[Step, bytes]], transfer: Transfer) -> None:
        """Like `ask`, for lines that go out together."""
        for step, line in script:
            self._output.append(line)
            self._expected.append((step, transfer))
        self._unsent += len(script)

    def ask_for_content(self, transfer: Transfer, before: bytes = b"", behind: bytes = b"") -> None:
        """Like `ask`, for a transfer's content with what frames it; once it was written nobody needs it any more."""
        self._output.append(before)
        self._output += transfer.content
        self._output.append(behind)
        self._expected.append((Step.DOT, transfer))
        self._unsent += 1
        self._ends.append((len(self._output), transfer))
        transfer.content = ()

    def expect_greeting(self) -> None:
        self._expected.append((Step.GREETING, None))

    def output(self) -> bytes:
        """One write group; from here on the content in it may have reached the receiver."""
        if not self._output or self._withheld:
            return b""
        self._group += 1
        for pieces, transfer in self._ends:
            transfer.end_group = self._group
            transfer.end_tail = sum(map(len, self._output[pieces:]))
        data = b"".join(self._output)
        self._output.clear()
        self._ends.clear()
        self._unsent = 0
        return data

    def withhold(self) -> None:
        """Hand out nothing more, while replies to what has left us are still taken."""
        self._withheld = True

    def discard(self) -> None:
        """Forget what was not handed out: the session is over."""
        self._output.clear()
        self._ends.clear()

    def head(self, reply: Reply) -> tuple[Step, Transfer | None, bool]:
        """What this reply answers, and whether it lets that succeed; it stays due until `answered`.

        Raises RemoteProtocolError when nothing was asked, or when it is no answer to that at all.
        """
        if len(self._expected) == self._unsent:
            raise RemoteProtocolError(self.step or Step.MAIL, f"a reply to nothing we asked: {reply}")
        step, transfer = self._expected[0]
        right = reply.code in _RIGHT[step]
        if not right and reply.code < 400:
            raise RemoteProtocolError(step, f"out of place: {reply}")
        return step, transfer, right

    def answered(self) -> None:
        self._expected.pop(0)

    def standing(self, transfer: Transfer) -> Step:
        """The step of the first reply due to a transfer; CONNECT when nothing of it has left us."""
        sent = len(self._expected) - self._unsent
        for place, (step, whose) in enumerate(self._expected):
            if whose is transfer:
                return Step.CONNECT if step is Step.MAIL and place >= sent else step
        return Step.CONNECT

    def may_have_ended(self, transfer: Transfer, unsent: int) -> bool:
        """Whether the end of its content was handed out, the last `unsent` octets of the last write group not counted."""
        return transfer.end_group > 0 and not (transfer.end_group == self._group and unsent > transfer.end_tail)
