"""Composes and signs what is about to go: a small batch of envelopes becomes as many transactions.

Composing and hashing happen here, in the worker; the private keys are elsewhere, so one batch is one question to a signer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from sender.backlog import Held
from sender.content.compose import Composer
from sender.content.message import Composed
from sender.content.sign import Prepared, finish, prepare
from sender.errors import ContentError, SigningError
from sender.model import Transaction


class Signer(Protocol):
    """Turns digests into signatures; sender.net.signing has two."""

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]: ...


class Counts(Protocol):
    """What the metrics must offer."""

    def signed(self, count: int, seconds: float) -> None: ...
    def signing_failed(self, count: int) -> None: ...


@dataclass(slots=True)
class Batch:
    """What a batch of envelopes came to; each of them is in exactly one of the lists."""

    transactions: list[Transaction] = field(default_factory=list)
    unusable: list[tuple[Held, ContentError]] = field(default_factory=list)  # no message can be made for these
    unsigned: list[tuple[Held, SigningError]] = field(default_factory=list)  # to be tried again, never sent unsigned


class Preparer:
    """Makes transactions of envelopes, batch by batch."""

    def __init__(self, composer: Composer, signer: Signer, counts: Counts, clock: Callable[[], float]) -> None:
        self._composer, self._signer, self._counts, self._clock = composer, signer, counts, clock

    async def prepare(self, several: Sequence[Held]) -> Batch:
        """Compose and sign; one that fails leaves the others alone."""
        now = self._clock()
        batch = Batch()
        prepared: list[tuple[Held, Prepared]] = []
        for held in several:
            try:
                composed = self._composer.compose(held.campaign.compiled, held.envelope, now)
                if held.campaign.identity.keys:
                    prepared.append((held, prepare(composed, held.campaign.identity.keys, now)))
                else:
                    batch.transactions.append(_transaction(held, composed, composed.head))
            except ContentError as error:
                batch.unusable.append((held, error))
            except SigningError as error:
                batch.unsigned.append((held, error))
        if prepared:
            await self._sign(prepared, batch)
        return batch

    async def _sign(self, prepared: Sequence[tuple[Held, Prepared]], batch: Batch) -> None:
        """All digests of a batch are one question to the signers."""
        requests = [request for _, each in prepared for request in each.digests]
        began = trio.current_time()
        answers = iter(await self._signer.attempt(requests))
        good = 0
        for held, each in prepared:
            own = [next(answers) for _ in each.digests]
            try:
                signatures = [_signature(answer) for answer in own]
            except SigningError as error:
                batch.unsigned.append((held, error))
            else:
                good += len(signatures)
                batch.transactions.append(_transaction(held, each.composed, finish(each, signatures)))
        self._counts.signed(good, trio.current_time() - began)
        if good < len(requests):
            self._counts.signing_failed(len(requests) - good)


def _signature(answer: bytes | SigningError) -> bytes:
    if isinstance(answer, SigningError):
        raise answer
    return answer


def _transaction(held: Held, composed: Composed, head: bytes) -> Transaction:
    return Transaction(
        mail_from=composed.mail_from,
        rcpt=composed.rcpt,
        head=head,
        body=composed.body,
        body_size=composed.size,
        fit=composed.fit,
        eight_bit=composed.eight_bit,
        smtputf8=composed.smtputf8,
        tag=held,
    )
