"""File descriptors: a session takes one, and running out of them in the middle of things helps nobody."""

import resource
from dataclasses import replace

import msgspec

from sender.settings import Settings

_OTHERS = 128  # store, signers, journal, metrics, log, and DNS questions on their way


def within_descriptors(settings: Settings) -> tuple[Settings, str]:
    """The settings with no more sessions than this process may have descriptors for, and what to tell the operator, or "".

    The soft limit is raised to the hard one first: it is low for programs that use select(), and we do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = settings.delivery.sessions
    if hard == resource.RLIM_INFINITY or wanted <= hard - _OTHERS:
        return settings, ""
    most = max(1, hard - _OTHERS)
    why = f"delivery.sessions is {wanted:,}, but this process may have {hard:,} file descriptors: {most:,} sessions at most"
    return replace(settings, delivery=msgspec.structs.replace(settings.delivery, sessions=most)), why
