"""What answers mean: by rule, by the code's class where no rule speaks, and where there is no answer at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.errors import ResolutionError, TransportKind
from sender.model import Action, Category, Outcome, Reply, Result, Scope, Step, Transaction, Verdict
from sender.policy.receivers import Profile, Profiles
from sender.policy.rules import example_reply
from sender.policy.verdict import (
    DELIVERED,
    NULL_MX,
    judge,
    judge_failure,
    judge_resolution,
    judge_result,
    named_delay_s,
)

TRANSACTION = Transaction(mail_from="n@example.com", rcpt="a@example.net", head=b"")


@pytest.fixture
def profile(profiles: Profiles) -> Profile:
    return profiles.profile("~shop.example")


def lost(step: Step, *, in_doubt: bool = False) -> Result:
    return Result(transaction=TRANSACTION, step=step, error="connection reset", in_doubt=in_doubt)


def test_a_2xx_to_the_end_of_data_is_delivered(profile: Profile) -> None:
    reply = Reply(code=250, lines=("queued",))
    assert judge(profile, Step.DOT, reply) is DELIVERED
    assert judge_result(profile, Result(transaction=TRANSACTION, step=Step.DOT, reply=reply)) is DELIVERED


@pytest.mark.parametrize(("step", "code"), [(Step.RCPT, 250), (Step.DOT, 354), (Step.DATA, 250)])
@pytest.mark.row("F32")
def test_an_answer_out_of_place_is_never_delivered_and_never_rejected(profile: Profile, step: Step, code: int) -> None:
    outcome = judge(profile, step, Reply(code=code))
    assert (outcome.verdict, outcome.scope, outcome.category) == (Verdict.DEFERRED, Scope.SESSION, Category.PROTOCOL)


@pytest.mark.parametrize(
    ("step", "code", "verdict", "scope", "rule"),
    [
        (Step.RCPT, 550, Verdict.REJECTED, Scope.RECIPIENT, "5xx"),
        (Step.MAIL, 550, Verdict.REJECTED, Scope.MESSAGE, "5xx-message"),
        (Step.DOT, 554, Verdict.REJECTED, Scope.MESSAGE, "5xx-message"),
        (Step.DOT, 499, Verdict.DEFERRED, Scope.RECIPIENT, "4xx"),
        (Step.MAIL, 421, Verdict.DEFERRED, Scope.SESSION, "closing"),
        (Step.DOT, 421, Verdict.DEFERRED, Scope.SESSION, "closing"),
        (Step.GREETING, 554, Verdict.DEFERRED, Scope.LANE, "not-served"),
    ],
)
def test_what_no_rule_covers_is_read_from_code_and_step(
    profile: Profile, step: Step, code: int, verdict: Verdict, scope: Scope, rule: str
) -> None:
    outcome = judge(profile, step, Reply(code=code, lines=("zzz",)))
    assert (outcome.verdict, outcome.scope, outcome.rule) == (verdict, scope, rule)


@pytest.mark.parametrize(
    ("receiver", "reply", "verdict", "scope", "actions"),
    [
        (
            "yahoo",
            "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred",
            Verdict.DEFERRED,
            Scope.LANE,
            {Action.STOP_SOURCE},
        ),
        ("yahoo", "553 5.7.1 [BL21] Connections will not be accepted", Verdict.DEFERRED, Scope.LANE, {Action.STOP_SOURCE}),
        (
            "google",
            "550 5.2.1 The user is receiving mail at a rate that prevents more",
            Verdict.DEFERRED,
            Scope.RECIPIENT,
            set(),
        ),
        ("google", "421 4.7.28 unusual rate from your DKIM domain", Verdict.DEFERRED, Scope.DOMAIN, {Action.STOP_DOMAIN}),
        (
            "google",
            "550 5.1.1 The email account that you tried to reach does not exist",
            Verdict.REJECTED,
            Scope.RECIPIENT,
            set(),
        ),
        ("microsoft", "550 5.7.515 Access denied", Verdict.DEFERRED, Scope.DOMAIN, {Action.STOP_DOMAIN}),
        (
            "microsoft",
            "421 4.3.2 exceed max concurrent connections IB007",
            Verdict.DEFERRED,
            Scope.LANE,
            {Action.ONE_CONNECTION},
        ),
        ("laposte", "550 5.5.0 Service refuse LPN007_510", Verdict.DEFERRED, Scope.LANE, {Action.PAUSE}),
        ("laposte", "550 5.5.0 Adresse destinataire invalide. LPN007_416", Verdict.REJECTED, Scope.RECIPIENT, set()),
        ("orange", "421 Trop de connexions OFR004_104", Verdict.DEFERRED, Scope.LANE, {Action.ONE_CONNECTION}),
        (
            "apple",
            "550 5.7.1 [CS01] Message rejected due to local policy.",
            Verdict.REJECTED,
            Scope.MESSAGE,
            {Action.HOLD_PROMOTION},
        ),
        ("sfr", "550 5.7.1 SFR_IN_X05", Verdict.DEFERRED, Scope.LANE, {Action.PAUSE, Action.HALVE}),
        ("free", "550 spam detected", Verdict.DEFERRED, Scope.LANE, {Action.PAUSE, Action.PAUSE_CAMPAIGN}),
        (
            "_default",
            "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
            Verdict.DEFERRED,
            Scope.LANE,
            {Action.PAUSE},
        ),
        ("_default", "552 5.2.2 Mailbox full", Verdict.DEFERRED, Scope.RECIPIENT, set()),
    ],
)
def test_what_receivers_say_and_mean(
    profiles: Profiles, receiver: str, reply: str, verdict: Verdict, scope: Scope, actions: set[Action]
) -> None:
    outcome = judge(profiles.profile(receiver), Step.RCPT, example_reply(reply))
    assert (outcome.verdict, outcome.scope) == (verdict, scope), outcome
    assert actions <= set(outcome.actions)


def test_rules_of_the_receiver_go_before_the_default_ones(profiles: Profiles) -> None:
    reply = example_reply("452 4.2.2 The mailbox is over quota OFR_417")
    assert judge(profiles.profile("orange"), Step.RCPT, reply).rule == "orange/mailbox-full"
    assert judge(profiles.profile("_default"), Step.RCPT, reply).rule == "_default/mailbox-full"


def test_a_code_in_brackets_is_no_queue_id(profiles: Profiles) -> None:
    reply = example_reply("550 5.5.0 refuse (LPNAAA007_416)")
    assert judge(profiles.profile("laposte"), Step.RCPT, reply).rule == "laposte/unknown-recipient"


def test_digits_count_only_behind_their_letters(profiles: Profiles) -> None:
    """An address or an id with "416" in it is no unknown user."""
    outcome = judge(profiles.profile("orange"), Step.RCPT, example_reply("450 4.3.0 queue 416, id 2416"))
    assert outcome.category is not Category.UNKNOWN_USER


@pytest.mark.row("S9")
def test_the_size_and_smtputf8_refusals_we_make_ourselves_are_permanent(profile: Profile) -> None:
    size = judge(profile, Step.MAIL, Reply(code=552, enhanced="5.3.4", lines=("message is larger than SIZE says",)))
    utf8 = judge(profile, Step.MAIL, Reply(code=553, enhanced="5.6.7", lines=("needs SMTPUTF8",)))
    bits = judge(profile, Step.MAIL, Reply(code=554, enhanced="5.6.3", lines=("needs 8BITMIME",)))
    assert {outcome.verdict for outcome in (size, utf8, bits)} == {Verdict.REJECTED}
    assert size.category is Category.CONTENT


def test_the_reply_is_judged_the_same_for_another_recipient_and_another_id(profile: Profile) -> None:
    first = judge(profile, Step.RCPT, Reply(code=550, enhanced="5.1.1", lines=("<a@example.net> no such user si123456789.1",)))
    second = judge(profile, Step.RCPT, Reply(code=550, enhanced="5.1.1", lines=("<b@example.net> no such user si987654321.2",)))
    assert first is second


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("greylisted, try again in 5 minutes", 300),
        ("please retry after 300 seconds", 300),
        ("try again in 2 hours.", 7200),
        ("greylisted for 60 s", 60),
        ("wait 00:04:58 and try", 298),
        ("try again in 5 seconds", 30),
        ("retry after 99999 hours", 86_400),
        ("try again later", None),
        ("accepted 300 seconds ago", None),
        ("in 1999 mailboxes", None),
    ],
)
def test_delays_that_a_text_names(text: str, seconds: float | None) -> None:
    assert named_delay_s(text) == seconds


def test_a_named_delay_goes_before_the_curve_and_before_the_rules_pause(profile: Profile) -> None:
    greylisted = judge(profile, Step.RCPT, Reply(code=450, lines=("Greylisted, try again in 7 minutes",)))
    assert (greylisted.category, greylisted.retry_s) == (Category.GREYLIST, 420)
    slowed = judge(profile, Step.RCPT, Reply(code=450, lines=("too many messages, try again in 7 minutes",)))
    assert (slowed.category, slowed.retry_s, slowed.pause_s) == (Category.RATE, 420, 420)


def test_a_rejection_names_no_delay(profile: Profile) -> None:
    outcome = judge(profile, Step.RCPT, Reply(code=550, enhanced="5.1.1", lines=("user unknown, retry after 300 seconds",)))
    assert (outcome.verdict, outcome.retry_s) == (Verdict.REJECTED, None)


@pytest.mark.parametrize(
    ("result", "verdict", "in_doubt"),
    [
        (lost(Step.MAIL), Verdict.UNSENT, False),
        (lost(Step.RCPT), Verdict.DEFERRED, False),
        (lost(Step.DATA), Verdict.DEFERRED, False),
        (lost(Step.DOT), Verdict.DEFERRED, False),
        (lost(Step.DOT, in_doubt=True), Verdict.DEFERRED, True),
        (lost(Step.MAIL, in_doubt=True), Verdict.DEFERRED, True),
    ],
)
def test_a_lost_transaction(profile: Profile, result: Result, verdict: Verdict, in_doubt: bool) -> None:
    outcome = judge_result(profile, result)
    assert (outcome.verdict, outcome.in_doubt) == (verdict, in_doubt)
    assert outcome.scope is Scope.SESSION
    assert verdict is not Verdict.UNSENT or outcome.retry_s  # no hot loop around a host that closes at once


@pytest.mark.parametrize(
    "kind", [TransportKind.REFUSED, TransportKind.TIMEOUT, TransportKind.UNREACHABLE, TransportKind.RESET, TransportKind.CLOSED]
)
def test_an_unreachable_host_costs_its_envelopes_an_attempt(profile: Profile, kind: TransportKind) -> None:
    outcome = judge_failure(profile, Step.CONNECT, kind=kind)
    assert (outcome.verdict, outcome.scope, outcome.category) == (Verdict.DEFERRED, Scope.SESSION, Category.NETWORK)


@pytest.mark.row("S10")
def test_a_forbidden_address_is_final_and_our_own_shortage_costs_nothing(profile: Profile) -> None:
    assert judge_failure(profile, Step.CONNECT, kind=TransportKind.FORBIDDEN).verdict is Verdict.REJECTED
    assert judge_failure(profile, Step.CONNECT, kind=TransportKind.RESOURCES).verdict is Verdict.UNSENT


@pytest.mark.parametrize(
    ("step", "reply", "kind"),
    [(Step.STARTTLS, Reply(code=454), None), (Step.TLS, None, TransportKind.TLS), (Step.STARTTLS, None, None)],
)
@pytest.mark.row("F36")
def test_no_tls_where_it_is_required_defers(
    profile: Profile, step: Step, reply: Reply | None, kind: TransportKind | None
) -> None:
    outcome = judge_failure(profile, step, reply=reply, kind=kind)
    assert (outcome.verdict, outcome.rule) == (Verdict.DEFERRED, "no-tls")


@pytest.mark.parametrize(
    ("text", "action", "pause_s", "rule"),
    [
        ("421 zzz", Action.PAUSE, 60, "closing"),
        ("554 zzz", Action.PAUSE, 60, "not-served"),
        ("421 too many connections from you", Action.ONE_CONNECTION, 3600, "_default/connection-limit"),
        ("554 client host blocked", Action.PAUSE, 7200, "_default/address-blocked"),
        ("550 5.1.1 user unknown", Action.PAUSE, 60, "_default/unknown-user"),
    ],
)
def test_who_is_turned_away_at_the_door_has_not_been_tried(
    profile: Profile, text: str, action: Action, pause_s: float, rule: str
) -> None:
    outcome = judge_failure(profile, Step.GREETING, reply=example_reply(text))
    assert (outcome.verdict, outcome.scope, outcome.rule) == (Verdict.UNSENT, Scope.LANE, rule)
    assert (action in outcome.actions, outcome.pause_s, outcome.retry_s) == (True, pause_s, None)


@pytest.mark.parametrize(("text", "longest_s"), [("421 zzz", 300), ("554 zzz", 3600), ("550 5.1.1 user unknown", 3600)])
def test_who_is_turned_away_again_and_again_waits_longer_up_to_a_limit(profile: Profile, text: str, longest_s: float) -> None:
    """5 minutes for a server that closes, an hour for one that serves us not."""
    assert judge_failure(profile, Step.GREETING, reply=example_reply(text)).pause_max_s == longest_s


def test_a_mailbox_that_is_disabled_may_be_back_after_90_days(profile: Profile) -> None:
    disabled = Result(transaction=TRANSACTION, step=Step.RCPT, reply=example_reply("550 5.2.1 mailbox disabled"))
    outcome = judge_result(profile, disabled)
    assert (outcome.verdict, outcome.permanent, outcome.suppress_s) == (Verdict.REJECTED, False, 90 * 86_400)


def test_a_missing_domain_is_believed_at_the_second_look() -> None:
    gone = ResolutionError("gone.example", "no such domain", permanent=True)
    first, second = judge_resolution(gone, 0), judge_resolution(gone, 1)
    assert (first.verdict, second.verdict) == (Verdict.DEFERRED, Verdict.REJECTED)
    assert first.retry_s is not None
    later = judge_resolution(ResolutionError("slow.example", "timed out", permanent=False), 5)
    assert (later.verdict, later.retry_s) == (Verdict.DEFERRED, None)
    assert (NULL_MX.verdict, NULL_MX.scope) == (Verdict.REJECTED, Scope.RECIPIENT)


@given(
    st.sampled_from(list(Step)),
    st.integers(200, 599),
    st.none() | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    st.lists(st.text(max_size=200), max_size=5),
)
def test_any_reply_has_an_outcome_that_loses_nobody_for_our_sake(
    profiles: Profiles, step: Step, code: int, enhanced: str | None, lines: list[str]
) -> None:
    reply = Reply(code=code, enhanced=enhanced, lines=tuple(lines))
    default = profiles.profile("_default")
    outcome = judge(default, step, reply)
    assert (outcome.verdict is Verdict.DELIVERED) == (step is Step.DOT and code < 300)
    if code < 500:
        assert outcome.verdict is not Verdict.REJECTED
    if outcome.scope not in (Scope.RECIPIENT, Scope.MESSAGE):
        assert outcome.verdict is not Verdict.REJECTED
    assert judge(default, step, reply) == outcome


def test_an_outcome_is_a_value() -> None:
    assert Outcome(verdict=Verdict.DELIVERED, category=Category.ACCEPTED, rule="accepted") == DELIVERED
