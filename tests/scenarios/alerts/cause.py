"""What a cause is, and those that several alerts have in common."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.scenarios.alerts.fleet import Fleet

Fault = Callable[[Fleet], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`fault` fires `alert`, and no other; it lasts while its block runs."""

    alert: str
    fault: Fault


def struck(*strikes: dict[str, object]) -> Fault:
    """Receivers answer so."""

    @asynccontextmanager
    async def fault(fleet: Fleet) -> AsyncIterator[None]:
        await fleet.ask("strike", strikes=strikes)
        yield
        await fleet.ask("heal")

    return fault
