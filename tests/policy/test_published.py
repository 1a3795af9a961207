"""What receivers publish about their replies, and what we make of each: the tables behind the rules, held as a whole."""

import pytest

from sender.model import Action, Outcome, Step
from sender.policy.quoted import quoted
from sender.policy.receivers import Profiles
from sender.policy.verdict import judge

PUBLISHED = [
    (
        "google",
        "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your SPF domain [x.example]",
        "deferred, domain, rate: stop_domain",
    ),
    (
        "google",
        "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail containing one of your URL domains",
        "deferred, domain, rate: stop_domain",
    ),
    (
        "google",
        "421 4.7.28 Gmail has detected that this IP address has sent an unusual rate of mail",
        "deferred, lane, rate: pause",
    ),
    ("google", "421 4.7.0 TLS required for RCPT domain, closing connection.", "deferred, config, policy: pause"),
    (
        "google",
        "451 4.7.24 The SPF record of the sending domain has one or more suspicious entries.",
        "deferred, domain, authentication: stop_domain",
    ),
    (
        "google",
        "421 4.7.26 This mail has been rate limited because it is unauthenticated.",
        "deferred, domain, authentication: stop_domain",
    ),
    (
        "google",
        "550 5.7.1 This message is suspicious due to the very low reputation of the sending IP address.",
        "deferred, lane, block: pause",
    ),
    ("google", "452 4.2.2 The recipient's inbox is out of storage space.", "deferred, recipient, full_mailbox: none"),
    (
        "google",
        "550 5.7.25 The IP address sending this message does not have a PTR record setup.",
        "deferred, config, policy: stop_source",
    ),
    ("google", "550 5.4.5 Daily sending quota exceeded", "deferred, lane, rate: pause"),
    ("google", "554 5.6.0 Mail message is malformed. Not accepted.", "rejected, message, content: none"),
    (
        "google",
        "550 5.7.1 This message does not meet IPv6 sending guidelines regarding PTR records and authentication.",
        "deferred, config, policy: pause",
    ),
    ("google", "552 5.3.4 Your message exceeded Google's message size limits.", "rejected, message, content: none"),
    ("google", "421 4.3.0 Temporary System Problem. Try again later.", "deferred, recipient, system: none"),
    ("yahoo", "421 4.7.0 [TSS05] Messages from 192.0.2.1 temporarily deferred", "deferred, lane, rate: pause"),
    (
        "yahoo",
        "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints",
        "deferred, lane, rate: pause",
    ),
    (
        "yahoo",
        "553 5.7.2 [TSS11] All messages from 192.0.2.1 will be permanently deferred",
        "deferred, lane, block: stop_source",
    ),
    (
        "yahoo",
        "553 5.7.1 [TSS07] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
        "deferred, lane, block: stop_source",
    ),
    (
        "yahoo",
        "451 Message temporarily deferred due to unresolvable RFC.5321 From domain",
        "deferred, domain, policy: stop_domain",
    ),
    ("yahoo", "552 1 Requested mail action aborted, mailbox not found", "rejected permanent, recipient, unknown_user: none"),
    ("yahoo", "451 VS1-IP Excessive unknown recipients - possible Open Relay", "deferred, lane, policy: pause_campaign"),
    (
        "yahoo",
        "550 5.7.9 This mail has been blocked because the sender is unauthenticated.",
        "deferred, domain, authentication: stop_domain",
    ),
    (
        "microsoft",
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        "deferred, lane, rate: pause",
    ),
    (
        "microsoft",
        "421 RP-001 (BAY004-MC1F1) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again.",
        "deferred, lane, rate: pause",
    ),
    (
        "microsoft",
        "421 RP-002 (x) Unfortunately, some messages on this connection weren't sent",
        "deferred, lane, connection_limit: one_connection",
    ),
    (
        "microsoft",
        "550 SC-002 (x) Unfortunately, messages from 192.0.2.1 weren't sent. Part of their network is on our block list.",
        "deferred, lane, block: stop_source",
    ),
    (
        "microsoft",
        "550 DY-001 (x) Unfortunately, messages from 192.0.2.1 weren't sent. dynamic IP",
        "deferred, lane, block: stop_source",
    ),
    (
        "microsoft",
        "550 5.5.0 Requested action not taken: mailbox unavailable",
        "rejected permanent, recipient, unknown_user: none",
    ),
    ("microsoft", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", "deferred, lane, rate: pause"),
    (
        "microsoft",
        "550 5.7.515 Access denied, sending domain X doesn't meet the required authentication level.",
        "deferred, domain, authentication: stop_domain",
    ),
    ("microsoft", "552 5.2.2 Mailbox full", "deferred, recipient, full_mailbox: none"),
    (
        "microsoft365",
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
        "rejected permanent, recipient, unknown_user: none",
    ),
    (
        "microsoft365",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a@x.example not found by SMTP address lookup",
        "rejected permanent, recipient, unknown_user: none",
    ),
    (
        "microsoft365",
        "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77713)",
        "deferred, lane, rate: pause",
    ),
    ("microsoft365", "550 5.7.606 Access denied, banned sending IP [192.0.2.1].", "deferred, lane, block: stop_source"),
    ("microsoft365", "450 4.7.320 Certificate validation failed", "deferred, message, policy: none"),
    ("apple", "421 4.7.1 Messages to a@icloud.com deferred due to excessive volume", "deferred, recipient, rate: none"),
    ("apple", "550 5.7.1 [CS01] Message rejected due to local policy", "rejected, message, content: hold_promotion"),
    ("apple", "550 5.7.1 [HCM1] Message rejected", "deferred, lane, rate: pause"),
    ("comcast", "421 4.1.0 192.0.2.1 Throttled - try again later RL000001", "deferred, lane, rate: pause"),
    (
        "comcast",
        "554 x comcast 192.0.2.1 all mail servers must have a PTR record with a valid Reverse DNS entry.",
        "deferred, config, policy: stop_source",
    ),
    ("gmx", "550 Requested action not taken: mailbox unavailable", "rejected permanent, recipient, unknown_user: none"),
    ("gmx", "552 Requested mail action aborted: exceeded storage allocation", "deferred, recipient, full_mailbox: none"),
    ("gmx", "421 Rate limit reached. Please try again later", "deferred, lane, rate: pause"),
    (
        "orange",
        "421 mwinf5c22 ME Trop de connexions. Too many connections, slow down. OFR004_104 [104]",
        "deferred, lane, connection_limit: one_connection",
    ),
    ("orange", "550 5.2.0 Mail rejete. Mail rejected. OFR_506 [506]", "rejected, message, content: pause_campaign"),
    (
        "laposte",
        "450 4.7.1 Service refuse. Veuillez essayer plus tard. service refused, please try later. LPN027_503",
        "deferred, lane, rate: pause",
    ),
    ("free", "550 spam detected", "deferred, lane, content: pause"),
    (
        "free",
        "421 Too many spams from your IP (192.0.2.1), please visit http://postmaster.free.fr/",
        "deferred, lane, block: pause",
    ),
    ("sfr", "421 4.7.0 too many errors", "deferred, lane, rate: pause"),
    (
        "mailru",
        "550 Message was not accepted -- invalid mailbox.  Local mailbox x@mail.ru is unavailable: user not found",
        "rejected permanent, recipient, unknown_user: none",
    ),
    ("qq", "550 Ip frequency limited [x]", "deferred, lane, rate: pause"),
    ("qq", "550 Mailbox unavailable or access denied [x]", "deferred, lane, rate: pause"),
    ("netease", "554 DT:SPM 163 smtp9", "rejected, message, content: pause_campaign"),
    ("netease", "550 User not found: x@163.com", "rejected permanent, recipient, unknown_user: none"),
    ("sina", "421 #4.4.5 Too many connections to this listener.", "deferred, lane, connection_limit: one_connection"),
    ("tonline", "550 5.1.1 user unknown", "rejected permanent, recipient, unknown_user: none"),
    ("libero", "550 RCPT TO: <a@libero.it> 5.1.1 Recipient unknown", "rejected permanent, recipient, unknown_user: none"),
    (
        "mimecast",
        "550 Rejected by header based manually Blocked Senders - https://community.mimecast.com/docs/DOC-1369#550",
        "rejected, recipient, policy: none",
    ),
    (
        "barracuda",
        "550 permanent failure for one or more recipients (a@x.example:550 5.1.1 user unknown)",
        "rejected permanent, recipient, unknown_user: none",
    ),
    ("barracuda", "550 permanent failure for one or more recipients (a@x.example:blocked)", "deferred, lane, block: pause"),
]


def told(outcome: Outcome) -> str:
    """In one line: the verdict, how far it reaches, why, and what the lane does first."""
    gone = " permanent" if outcome.permanent else ""
    first = outcome.actions[0] if outcome.actions else Action.NONE
    return f"{outcome.verdict}{gone}, {outcome.scope}, {outcome.category}: {first}"


@pytest.mark.parametrize(("receiver", "reply", "meaning"), PUBLISHED)
def test_what_is_published_is_what_we_read(profiles: Profiles, receiver: str, reply: str, meaning: str) -> None:
    assert told(judge(profiles.profile(receiver), Step.RCPT, quoted(reply).reply)) == meaning


def test_every_profile_is_asked(profiles: Profiles) -> None:
    assert {receiver for receiver, _, _ in PUBLISHED} == {profile.name for profile in profiles} - {"_default"}
