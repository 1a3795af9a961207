"""The words of the large receivers, laid over the ordinary ones.

They follow what the receivers publish or are seen to send (postmaster pages of Google, Yahoo, Microsoft, Apple, Orange, Free
and SFR; Sisimai's collection of bounces): the sender's rules are written for those words.
"""

from dataclasses import replace

from workers.emulator.answers import ORDINARY, answer

GOOGLE = replace(
    ORDINARY,
    greeting=answer(220, "", "mx.google.com ESMTP {id} - gsmtp"),
    mail_ok=answer(250, "2.1.0", "OK {id} - gsmtp"),
    rcpt_ok=answer(250, "2.1.5", "OK {id} - gsmtp"),
    data_ok=answer(354, "", "Go ahead {id} - gsmtp"),
    accepted=answer(250, "2.0.0", "OK {id} - gsmtp"),
    connections=answer(421, "4.7.0", "Try again later, closing connection. {id} - gsmtp", closes=True),
    messages=answer(421, "4.7.0", "Too many messages for this connection, closing it. {id} - gsmtp", closes=True),
    rate=answer(
        421,
        "4.7.28",
        "Gmail has detected an unusual rate of unsolicited mail originating\n"
        "from your IP address [{ip}]. To protect our users from spam, mail sent\n"
        "from your IP address has been temporarily rate limited. For more\n"
        "information, go to\n"
        " https://support.google.com/mail/?p=UnsolicitedRateLimitError {id} - gsmtp",
        closes=True,
    ),
    deferred=answer(
        421,
        "4.7.0",
        "[{ip}] Gmail has detected that this message is suspicious due\n"
        "to the very low reputation of the sending IP address. To protect our\n"
        "users from spam, the message has been deferred, try again later. {id} - gsmtp",
        closes=True,
    ),
    blocked=answer(
        550,
        "5.7.1",
        "[{ip}] Gmail has detected that this message is likely\n"
        "suspicious due to the very low reputation of the sending IP address. To\n"
        "best protect our users from spam, the message has been blocked. {id} - gsmtp",
    ),
    greylisted=answer(450, "4.2.1", "The recipient cannot take this message yet, try again later. {id} - gsmtp"),
    hiccup=answer(451, "4.3.0", "Mail server temporarily rejected message. {id} - gsmtp"),
    unknown=answer(
        550,
        "5.1.1",
        "The email account that you tried to reach does not exist. Please try\n"
        "double-checking the recipient's email address for typos or\n"
        "unnecessary spaces. For more information, go to\n"
        " https://support.google.com/mail/?p=NoSuchUser {id} - gsmtp",
    ),
    full=answer(
        452,
        "4.2.2",
        "The recipient's inbox is out of storage space. Please direct the\n"
        "recipient to\n"
        " https://support.google.com/mail/?p=OverQuotaTemp {id} - gsmtp",
    ),
    spam=answer(
        550,
        "5.7.1",
        "[{ip}] Gmail has detected that this message is likely unsolicited\n"
        "mail. To reduce the amount of spam sent to Gmail, this message has been\n"
        "blocked. For more information, go to\n"
        " https://support.google.com/mail/?p=UnsolicitedMessageError {id} - gsmtp",
    ),
    unencrypted=answer(530, "5.7.0", "Must issue a STARTTLS command first. {id} - gsmtp"),
    unsigned=answer(
        550,
        "5.7.26",
        "Your email has been blocked because the sender is unauthenticated.\n"
        "Gmail requires all senders to authenticate with either SPF or DKIM.\n"
        " https://support.google.com/mail/answer/81126#authentication {id} - gsmtp",
    ),
)

_OUTLOOK_REPUTATION = (
    "The mail server [{ip}] has been temporarily rate limited due to IP reputation. "
    "For e-mail delivery information, see https://postmaster.live.com (S775)"
)

MICROSOFT = replace(
    ORDINARY,
    greeting=answer(220, "", "{host} Microsoft ESMTP MAIL Service ready {id}"),
    mail_ok=answer(250, "2.1.0", "Sender OK"),
    rcpt_ok=answer(250, "2.1.5", "Recipient OK"),
    data_ok=answer(354, "", "Start mail input; end with <CRLF>.<CRLF>"),
    accepted=answer(250, "2.6.0", "{id} Queued mail for delivery -> 250 2.1.5"),
    connections=answer(
        421, "4.3.2", "The maximum number of concurrent connections has exceeded a limit. (IB007) [{host}]", closes=True
    ),
    messages=answer(421, "4.3.2", "Connection exceeded maximum number of messages per connection [{host}]", closes=True),
    rate=answer(451, "4.7.650", _OUTLOOK_REPUTATION),
    deferred=answer(451, "4.7.500", "Server busy. Please try again later from [{ip}]. (S77719)"),
    blocked=answer(
        550,
        "5.7.1",
        "Unfortunately, messages from [{ip}] weren't sent. Please contact your Internet service provider "
        "since part of their network is on our block list (S3140).",
    ),
    greylisted=answer(451, "4.7.700", "PFA agent busy, please try again. [{host}]"),
    hiccup=answer(451, "4.3.0", "Temporary server error. Please try again later. [{host}]"),
    unknown=answer(550, "5.5.0", "Requested action not taken: mailbox unavailable (S2017062302). [{host}]"),
    full=answer(452, "4.2.2", "The recipient's mailbox is over its quota, please try again later. [{host}]"),
    spam=answer(550, "5.7.1", "SC-001 Mail rejected by Outlook.com for policy reasons: the content looks like spam."),
    unsigned=answer(550, "5.7.515", "Access denied, sending domain does not meet the required authentication level."),
)

YAHOO = replace(
    ORDINARY,
    greeting=answer(220, "", "{host} ESMTP ready"),
    mail_ok=answer(250, "", "sender <ok> ok"),
    rcpt_ok=answer(250, "", "recipient <{rcpt}> ok"),
    data_ok=answer(354, "", "go ahead"),
    accepted=answer(250, "", "ok dirdel"),
    connections=answer(421, "4.7.0", "[TS01] Too many connections from {ip}, try again later", closes=True),
    messages=answer(421, "", "Max message per connection reached, closing transmission channel", closes=True),
    rate=answer(
        421,
        "4.7.0",
        "[TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; "
        "see https://postmaster.yahooinc.com/error-codes",
        closes=True,
    ),
    deferred=answer(
        421,
        "4.7.0",
        "[TSS05] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; "
        "see https://postmaster.yahooinc.com/error-codes",
        closes=True,
    ),
    blocked=answer(
        553,
        "5.7.2",
        "[TSS09] All messages from {ip} will be permanently deferred; Retrying will NOT succeed. "
        "See https://postmaster.yahooinc.com/error-codes",
        closes=True,
    ),
    greylisted=answer(450, "4.2.1", "User is receiving mail too quickly"),
    hiccup=answer(451, "4.3.2", "Internal error reading data"),
    unknown=answer(554, "", "delivery error: dd This user doesn't have a yahoo.com account ({rcpt}) [0] - {host}"),
    full=answer(452, "4.2.2", "{rcpt} mailbox is over quota"),
    unsigned=answer(550, "5.7.9", "This mail has been blocked because the sender is unauthenticated. SPF or DKIM is required."),
    spam=answer(554, "5.7.9", "Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes"),
)

APPLE = replace(
    ORDINARY,
    greeting=answer(220, "", "{host} ESMTP"),
    connections=answer(421, "4.7.1", "Service unavailable - try again later", closes=True),
    messages=answer(421, "4.7.1", "Too many messages on this connection", closes=True),
    rate=answer(451, "4.7.1", "Service unavailable - try again later (top of the hour busy)"),
    deferred=answer(450, "4.7.1", "[BS02] Message deferred, try again later"),
    blocked=answer(
        550, "5.7.1", "[CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/102322"
    ),
    unknown=answer(550, "5.1.1", "<{rcpt}>: inactive email address"),
    full=answer(452, "4.2.2", "<{rcpt}>: user is over quota"),
    spam=answer(
        550, "5.7.1", "[CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/102322"
    ),
)

ORANGE = replace(
    ORDINARY,
    greeting=answer(220, "", "{host} ESMTP ABO **************************"),
    connections=answer(
        421,
        "",
        "{host} Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR004_104 [104]",
        closes=True,
    ),
    messages=answer(
        421, "", "{host} Trop de messages sur cette connexion. Too many messages, slow down. OFR004_104 [104]", closes=True
    ),
    rate=answer(
        421,
        "",
        "{host} Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR004_105 [105]",
        closes=True,
    ),
    deferred=answer(
        421,
        "",
        "{host} Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]",
        closes=True,
    ),
    blocked=answer(
        554,
        "",
        "{host} Client host blocked, see https://csi.cloudmark.com/en/reset/?ip={ip} OFR006_102 [102]",
        closes=True,
    ),
    unknown=answer(550, "5.1.1", "Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"),
    full=answer(452, "4.2.2", "Boite du destinataire pleine. Recipient overquota. OFR_417 [417]"),
    spam=answer(550, "5.2.0", "Mail rejete. Mail rejected. OFR_506 [506]"),
    unsigned=answer(535, "5.7.1", "Authentification DKIM requise. DKIM authentication required. OFR_402 [402]"),
)

LAPOSTE = replace(
    ORDINARY,
    greeting=answer(220, "", "laposte ESMTP"),
    connections=answer(421, "4.7.0", "Trop de connexions. Too many connections, slow down. LPN004_104", closes=True),
    messages=answer(421, "4.7.0", "Trop de messages. Too many messages, slow down. LPN004_104", closes=True),
    rate=answer(450, "4.7.1", "Service refuse. Veuillez essayer plus tard. Service refused, please try later. LPN027_503"),
    deferred=answer(
        421, "4.2.1", "Service refuse. Veuillez essayer plus tard. Service refused, please try later. LPN006_107", closes=True
    ),
    blocked=answer(554, "5.7.1", "Client host [{ip}] blocked. LPN006_102", closes=True),
    unknown=answer(550, "5.5.0", "Adresse d au moins un destinataire invalide. Invalid recipient. LPN007_416"),
    full=answer(452, "4.2.2", "Boite du destinataire pleine. Recipient overquota. LPN007_417"),
    spam=answer(550, "5.7.1", "Service refuse. Service refused. LPN007_510"),
)

FREE = replace(
    ORDINARY,
    connections=answer(421, "", "{host} Server busy/too many connections", closes=True),
    messages=answer(421, "", "{host} Too many messages, closing transmission channel", closes=True),
    rate=answer(451, "", "too many errors from your ip ({ip})"),
    deferred=answer(421, "", "Too many spams from your IP ({ip}), please visit http://postmaster.free.fr/", closes=True),
    blocked=answer(554, "", "Too many spams from your IP ({ip}), please visit http://postmaster.free.fr/", closes=True),
    unknown=answer(550, "5.1.1", "<{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table"),
    spam=answer(550, "", "spam detected"),
)

SFR = replace(
    ORDINARY,
    connections=answer(421, "4.7.0", "Too many connections from {ip}", closes=True),
    messages=answer(421, "4.7.0", "Too many errors: messages per connection exceeded", closes=True),
    rate=answer(421, "4.7.0", "SFR_IN_105 Volume exceeded for {ip}, blocked for two hours", closes=True),
    deferred=answer(421, "4.7.0", "SFR_IN_104 Too many unknown users from {ip}, blocked for two hours", closes=True),
    blocked=answer(550, "5.7.1", "SFR_IN_101 Spam from {ip}, blocked for two hours"),
    spam=answer(550, "5.7.1", "SFR_IN_101 Message rejected as spam"),
)

UNITED_INTERNET = replace(
    ORDINARY,
    greeting=answer(220, "", "{host} Nemesis ESMTP Service ready"),
    connections=answer(421, "", "{host} Nemesis ESMTP Service not available\nToo many connections", closes=True),
    messages=answer(421, "", "{host} Too many messages for this connection", closes=True),
    rate=answer(
        421,
        "",
        "{host} Rate limit reached\nFor explanation visit\nhttps://postmaster.gmx.net/en/case?c=r0301&i=ip&v={ip}",
        closes=True,
    ),
    deferred=answer(
        421,
        "",
        "{host} Reject due to policy violations\nFor explanation visit\nhttps://postmaster.gmx.net/en/case?c=r0401&i=ip&v={ip}",
        closes=True,
    ),
    blocked=answer(
        554,
        "",
        "Transaction failed\nReject due to policy restrictions.\nhttps://postmaster.gmx.net/en/case?c=r0201&i=ip&v={ip}",
        closes=True,
    ),
    unknown=answer(550, "", "Requested action not taken: mailbox unavailable"),
    spam=answer(554, "", "Transaction failed\nReject due to policy restrictions.\nhttps://postmaster.gmx.net/en/case?c=r0103"),
)
