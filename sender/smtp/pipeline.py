"""Transactions on a ready session, three ways (RFC 2920, RFC 3030).

- lockstep: one command, one reply.
- group: MAIL, RCPT and DATA in one write; the content in the next.
- chain: the content of one transaction travels with MAIL, RCPT and DATA of the next, so that a message costs one round
  trip. With CHUNKING whole transactions go out back to back, a bounded number in flight, and none need be waited for.

What every way keeps to:

- A refusal settles its transaction, and the session goes on. When MAIL was accepted and no end of data closed the
  transaction, RSET goes before the next MAIL. A chained BDAT transaction always begins with RSET: its MAIL leaves before
  we know whether the one ahead was refused at RCPT, and a receiver that still has that one open would take our recipient
  and content under the wrong sender.
- RCPT refused and DATA answered 354 all the same: a lone dot (RFC 2920 section 3.1), and the refusal stands.
- RCPT accepted after MAIL was refused, or BDAT after RCPT was, is out of place: our count of replies and the receiver's
  differ, and no reply can be believed.
- A message whose end of data has commands behind it is Finished once these are answered too, up to DATA or BDAT, the first
  that could tell a surplus reply from a due one. If the connection ends before, the replies read so far are believed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sender.errors import LocalProtocolError, RemoteProtocolError
from sender.model import Pipelining, Reply, Result, Step, Transaction
from sender.smtp import command
from sender.smtp.capability import Capabilities
from sender.smtp.dialogue import Dialogue
from sender.smtp.transfer import Transfer

_COMMAND_UNKNOWN = frozenset({500, 501, 502, 504})  # to BDAT: the octets behind it may be read as commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be in flight where BDAT chains whole transactions."""

    transactions: int = 12  # their replies, five lines each, fit a socket buffer even if nobody reads while we write
    octets: int = 1 << 20  # of content; one transaction always fits


class Pipeline:
    """The transactions of one session, from `send` to their Results."""

    def __init__(self, dialogue: Dialogue, capabilities: Capabilities, mode: Pipelining, limits: Limits | None) -> None:
        """`limits` of None rules BDAT out, and so does a receiver or a mode that does not chain."""
        self._dialogue, self._capabilities = dialogue, capabilities
        self.mode = Pipelining.LOCKSTEP
        self._bdat: Limits | None = None  # None: DATA
        self.change(mode, limits)
        self._waiting: list[Transfer] = []  # taken, nothing of it asked
        self._open: list[Transfer] = []  # asked, not Finished
        self._current: Transfer | None = None  # the open one whose content has not gone yet
        self._octets = 0  # of content in open transfers
        self._must_reset = False  # the receiver has a transaction open that no end of data will close

    @property
    def wants(self) -> int:
        """How many transactions may be handed over now."""
        if self._bdat is not None:
            room = self._bdat.transactions - len(self._open)
            return room if self._octets < self._bdat.octets or not self._open else 0
        if self.mode is Pipelining.CHAIN:  # the one whose content goes next, and the one to chain behind it
            return 2 - len(self._waiting) - (self._current is not None)
        return 1 - len(self._waiting) - len(self._open)

    @property
    def idle(self) -> bool:
        return not (self._open or self._waiting)

    @property
    def count(self) -> int:
        """Transactions taken and not Finished."""
        return len(self._open) + len(self._waiting)

    def send(self, transaction: Transaction) -> Result | None:
        """Take a transaction; a Result at once, and nothing written, when the receiver's extensions rule it out."""
        if self.wants < 1:
            raise LocalProtocolError("no transaction may be handed over now")
        obstacle = self._capabilities.obstacle(transaction)
        if obstacle is not None:
            return Result(transaction=transaction, step=Step.MAIL, reply=obstacle, error=obstacle.text)
        self._waiting.append(self._prepare(transaction))
        self._begin()
        return None

    def change(self, mode: Pipelining, limits: Limits | None) -> None:
        """Send so far ahead from the next transaction on, as far as the receiver's extensions go; nothing may be open."""
        self.mode = mode if self._capabilities.pipelining else Pipelining.LOCKSTEP
        self._bdat = limits if self.mode is Pipelining.CHAIN and self._capabilities.chunking else None

    def reset(self) -> None:
        """Ask for RSET on its own."""
        self._dialogue.ask(Step.RSET, command.RSET)
        self._must_reset = False

    def answer(self, step: Step, transfer: Transfer, reply: Reply, right: bool) -> list[Result]:
        """Settle what a reply settles, which lets the step succeed or not; RemoteProtocolError when it is out of place."""
        return _ON[step](self, transfer, reply, right)

    def after_reset(self) -> None:
        """RSET was answered: in lock-step, what waited for it goes on."""
        if self._current is not None and self._current.script:
            self._next_line(self._current)

    def turned_away(self, step: Step, transfer: Transfer | None, reply: Reply) -> list[Result]:
        """The receiver says it is closing (421): the Results that stand, the transaction it answered among them."""
        if transfer is not None and transfer.answer is None:
            transfer.answer = (step, reply)
        results = []
        while self._open and self._open[0].answer is not None:
            results.append(self._finish())
        return results

    def lost(self, error: str, *, believe: bool, unsent: int) -> list[Result]:
        """Results for all that is open; `believe` the replies already read unless one was out of place."""
        open_transfers = [*self._open, *self._waiting]
        self._open.clear()
        self._waiting.clear()
        self._current = None
        return [
            transfer.result() if believe and transfer.answer is not None else self._lost(transfer, error, unsent)
            for transfer in open_transfers
        ]

    def _lost(self, transfer: Transfer, error: str, unsent: int) -> Result:
        in_doubt = self._dialogue.may_have_ended(transfer, unsent)
        step = Step.DOT if in_doubt else self._dialogue.standing(transfer)
        return Result(transaction=transfer.transaction, step=step, error=error, in_doubt=in_doubt)

    def _prepare(self, transaction: Transaction) -> Transfer:
        transfer = self._transfer(transaction)
        mail = command.mail(
            transaction.mail_from,
            size=transaction.size if self._capabilities.size is not None else None,
            eight_bit=transaction.eight_bit,
            smtputf8=transaction.smtputf8,
        )
        rcpt = command.rcpt(transaction.rcpt, smtputf8=transaction.smtputf8)
        transfer.script = [(Step.MAIL, mail), (Step.RCPT, rcpt)]
        if self._bdat is None:
            transfer.script.append((Step.DATA, command.DATA))
        return transfer

    def _transfer(self, transaction: Transaction) -> Transfer:
        """The content as it goes on the wire. What is known of a body is not searched again: a tenth of a message's cost."""
        head, body, fit = transaction.head, transaction.body, transaction.fit
        searched = head if fit else transaction.content
        command.check_content(searched)
        content = searched if self._bdat is not None else command.dot_stuff(searched)
        if content is searched:
            return Transfer(transaction, (head, *body))
        return Transfer(transaction, (content, *body) if fit else (content,))

    def _begin(self) -> None:
        """Ask for what is waiting, as soon as the mode lets its commands go out.

        With DATA only one transaction at a time may be short of its content. Whoever is asked before the one ahead is known
        to be over begins with RSET; in lock-step its reply is waited for.
        """
        while self._waiting and self._current is None:
            if self._open and self.mode is not Pipelining.CHAIN:
                return
            transfer = self._waiting.pop(0)
            if self._must_reset or (self._bdat is not None and self._open):
                self.reset()
            self._open.append(transfer)
            self._octets += transfer.size
            if self._bdat is None:
                self._current = transfer
            if self.mode is not Pipelining.LOCKSTEP:
                self._ask_all(transfer)
            elif self._dialogue.step is None:
                self._next_line(transfer)

    def _ask_all(self, transfer: Transfer) -> None:
        self._dialogue.ask_several(transfer.script, transfer)
        transfer.script = []
        if self._bdat is not None:
            self._dialogue.ask_for_content(transfer, before=command.bdat(transfer.size, last=True))

    def _next_line(self, transfer: Transfer) -> None:
        step, line = transfer.script.pop(0)
        self._dialogue.ask(step, line, transfer)

    def _on_mail(self, transfer: Transfer, reply: Reply, right: bool) -> list[Result]:
        if not right:
            transfer.answer = (Step.MAIL, reply)
        return self._go_on(transfer) if transfer.script else []

    def _on_rcpt(self, transfer: Transfer, reply: Reply, right: bool) -> list[Result]:
        if right and transfer.answer is not None:
            raise RemoteProtocolError(Step.RCPT, f"accepted though MAIL was refused: {reply}")
        if not right and transfer.answer is None:
            transfer.answer = (Step.RCPT, reply)
        return self._go_on(transfer) if transfer.script else []

    def _go_on(self, transfer: Transfer) -> list[Result]:
        """In lock-step the next line follows, or the end of a refused transaction."""
        if transfer.answer is None:
            self._next_line(transfer)
            return []
        return self._without_content(transfer)

    def _on_data(self, transfer: Transfer, reply: Reply, right: bool) -> list[Result]:
        results = self._finish_ahead_of(transfer)
        if not right:
            transfer.answer = transfer.answer or (Step.DATA, reply)
            return results + self._without_content(transfer)
        self._current = None
        if transfer.answer is None:
            self._dialogue.ask_for_content(transfer, behind=command.END_OF_DATA)
        else:
            self._dialogue.ask(Step.DOT, command.END_OF_DATA, transfer)
        self._begin()
        return results

    def _without_content(self, transfer: Transfer) -> list[Result]:
        """A transaction that ended before DATA was granted; unless MAIL was refused, the receiver still has it open."""
        assert transfer.answer is not None
        self._must_reset = transfer.answer[0] is not Step.MAIL
        self._current = None
        result = self._finish()
        self._begin()
        return [result]

    def _on_dot(self, transfer: Transfer, reply: Reply, right: bool) -> list[Result]:
        if self._bdat is not None:
            self._check_chunk(transfer, reply, right)
        results = self._finish_ahead_of(transfer)
        transfer.answer = transfer.answer or (Step.DOT, reply)
        if len(self._open) == 1:
            results.append(self._finish())
        return results

    def _check_chunk(self, transfer: Transfer, reply: Reply, right: bool) -> None:
        if right and transfer.answer is not None:
            raise RemoteProtocolError(Step.DOT, f"BDAT accepted though {transfer.answer[0]} was refused: {reply}")
        if reply.code in _COMMAND_UNKNOWN:
            raise RemoteProtocolError(Step.DOT, f"BDAT is not understood though CHUNKING was offered: {reply}")
        self._must_reset = not right

    def _finish_ahead_of(self, transfer: Transfer) -> list[Result]:
        """Results held until the replies behind them lined up."""
        results = []
        while self._open[0] is not transfer:
            results.append(self._finish())
        return results

    def _finish(self) -> Result:
        transfer = self._open.pop(0)
        self._octets -= transfer.size
        return transfer.result()


# Not bound methods in each pipeline: with such a cycle, what a broken session still had open would wait for the collector.
_ON: Mapping[Step, Callable[[Pipeline, Transfer, Reply, bool], list[Result]]] = MappingProxyType(
    {
        Step.MAIL: Pipeline._on_mail,
        Step.RCPT: Pipeline._on_rcpt,
        Step.DATA: Pipeline._on_data,
        Step.DOT: Pipeline._on_dot,
    }
)
