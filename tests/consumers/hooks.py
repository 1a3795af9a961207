"""A webhook consumer of a test's own, towards a receiver on the loopback."""

from pathlib import Path

from sender.net.addresses import Targets
from tests.consumers.receiver import Receiver
from tests.rig import clock
from workers.consumers.file import FileSink
from workers.consumers.http import Poster
from workers.consumers.webhook import Batches, Deliverer, WebhookSink

KEY = b"0123456789abcdef0123456789abcdef"
ANYWHERE = Targets(allow=("0.0.0.0/0", "::/0"))


def poster(
    url: str, *, targets: Targets = ANYWHERE, timeout_s: float = 10.0, connections: int = 1, ca_file: str = ""
) -> Poster:
    return Poster(url, targets, connections=connections, timeout_s=timeout_s, ca_file=ca_file)


def deliverer(
    to: Poster, *, lines: bool = False, events: int = 500, octets: int = 1024 * 1024, keys: tuple[bytes, ...] = (KEY,)
) -> Deliverer:
    return Deliverer(poster=to, keys=keys, batches=Batches(lines=lines, events=events, octets=octets), clock=clock)


def webhook(
    receiver: Receiver, directory: Path, *, lines: bool = False, events: int = 500, ways: int = 1, give_up_s: float = 3600.0
) -> WebhookSink:
    dead = FileSink(directory=directory, name="log-dead", rotate_octets=10**6, rotate_every_s=0.0, keep_files=100, clock=clock)
    return WebhookSink(
        deliverer=deliverer(poster(receiver.url, connections=ways), lines=lines, events=events),
        dead=dead,
        ways=ways,
        retry_most_s=60.0,
        give_up_s=give_up_s,
        clock=clock,
    )
