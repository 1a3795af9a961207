"""Composes and signs what is about to go: a small batch of envelopes becomes as many transactions.

Composing and hashing happen here, in the worker; the private keys are elsewhere, so one batch is one question to a signer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sender.backlog import Held
from sender.content.compose import Composer
from sender.content.message import Composed
from sender.content.sign import Prepared, finish, prepare
from sender.errors import ContentError
from sender.model import Transaction


class Signer(Protocol):
    """Turns digests into signatures; sender.net.signing has two."""

    async def sign(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class Unusable:
    """An envelope no message can be made for."""

    held: Held
    why: str


class Preparer:
    """Makes transactions of envelopes, batch by batch."""

    def __init__(self, composer: Composer, signer: Signer, clock: Callable[[], float]) -> None:
        self._composer, self._signer, self._clock = composer, signer, clock

    async def prepare(self, batch: Sequence[Held]) -> tuple[list[Transaction], list[Unusable]]:
        """The transactions of a batch, in order, and what could not be made one; raises SigningError for all of it."""
        now = self._clock()
        unsigned: list[tuple[Held, Prepared]] = []
        transactions: list[Transaction] = []
        unusable: list[Unusable] = []
        for held in batch:
            try:
                composed = self._composer.compose(held.campaign.compiled, held.envelope, now)
                keys = held.campaign.identity.keys
                if keys:
                    unsigned.append((held, prepare(composed, keys, now)))
                else:
                    transactions.append(_transaction(held, composed, composed.content))
            except ContentError as error:
                unusable.append(Unusable(held, str(error)))
        transactions += await self._signed(unsigned)
        return transactions, unusable

    async def _signed(self, unsigned: Sequence[tuple[Held, Prepared]]) -> list[Transaction]:
        requests = [request for _, prepared in unsigned for request in prepared.digests]
        if not requests:
            return []
        signatures = iter(await self._signer.sign(requests))
        return [
            _transaction(held, prepared.composed, finish(prepared, [next(signatures) for _ in prepared.digests]))
            for held, prepared in unsigned
        ]


def _transaction(held: Held, composed: Composed, content: bytes) -> Transaction:
    return Transaction(
        mail_from=composed.mail_from,
        rcpt=composed.rcpt,
        content=content,
        eight_bit=composed.eight_bit,
        smtputf8=composed.smtputf8,
        tag=held,
    )
