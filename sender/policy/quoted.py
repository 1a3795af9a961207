"""Replies as people have them: pasted from a log or a bounce, in one line or several, with another server's words around.

1. What a server says about the server it talked to is taken off ("host mx.example.net[192.0.2.1] said: 550 ..."); where
   it names the command ("in reply to end of DATA command"), that is the step.
2. The code is the one the reply begins with; further lines' codes, which a bounce puts between the words, are taken off.
3. Without a code it is read off the enhanced one, and without either off the words: mostly 550, so that rules look at them.

What comes over the wire is read by `sender.smtp.reply`, which forgives nothing of this.
"""

import re
from dataclasses import dataclass

from sender.model import Reply, Step

_KEPT = 4_000  # characters; rules read 1,000 of them
_WRAPPINGS = 4  # codes and other servers' words around one reply

STEPS = {  # what others call a step
    "mail from": Step.MAIL,
    "mail": Step.MAIL,
    "rcpt to": Step.RCPT,
    "rcpt": Step.RCPT,
    "data": Step.DATA,
    "end of data": Step.DOT,
    "message body": Step.DOT,
    "ehlo": Step.EHLO,
    "helo": Step.EHLO,
    "lhlo": Step.EHLO,
    "starttls": Step.STARTTLS,
    "initial connection": Step.GREETING,
}
_COMMAND = "|".join(sorted(STEPS, key=len, reverse=True))
_CODE = r"[245]\d\d(?=[ =,-]|$)"
_STATUS = r"#?[245]\.\d{1,3}\.\d{1,3}(?![.\d])"

_POSTFIX_END = re.compile(rf"\s*\(in reply to (?:the )?({_COMMAND})(?: command)?\)\s*$", re.IGNORECASE)
_EXIM = re.compile(
    rf"SMTP error from remote (?:mail server|mailer) after (?:pipelined )?({_COMMAND})\b.*?:\s*(?=(?:host [^:]*:\s*)?{_CODE})",
    re.IGNORECASE,
)
_SAID = re.compile(
    rf"(?:\bsaid|refused to talk to me|\bresponded|\breplied|the response was|remote error):\s*(?={_CODE})", re.IGNORECASE
)
_SES = re.compile(
    r"(?:[245]\d\d )?(#?[245]\.\d{1,3}\.\d{1,3}) - [A-Za-z ]+ ([245]\d\d)[ -]'(.*)'(?: \(delivery attempts: \d+\))?"
)
_TALKED = "refused to talk to me"

_FIRST = re.compile(rf"(?:smtp;\s*)?({_CODE})", re.IGNORECASE)
_INSIDE = re.compile(rf"(?<![\w.])([45]\d\d)[ =-]+(?={_STATUS})")
_ENHANCED = re.compile(rf"[\s:-]*({_STATUS})=?(?=[\s:;,]|$)[\s:]*")
_AGAIN = re.compile(rf"[45]\d\d[ =,-]+\S|{_STATUS} - ", re.IGNORECASE)  # a bounce's own code, then the reply with its code
_HOPEFUL = re.compile(r"temporar|timed out|try again|again later|\bretry\b", re.IGNORECASE)
_ANYWHERE = re.compile(rf"(?<![\w.])({_STATUS})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A reply, and the step it answers where the words around it tell."""

    reply: Reply
    step: Step | None = None


def quoted(text: str) -> Quoted:
    """The reply in this text. Any text is one: what has no code counts as 550, or as 450 where the words hope for better."""
    words = " ".join(text[:_KEPT].replace("=\n", "").split())
    code, enhanced, step = None, None, None
    for _ in range(_WRAPPINGS):
        words, found = _unwrapped(words)
        step = step or found
        inner, words = _code(words)
        status, words = _enhanced(words)
        code, enhanced = inner or code, status or enhanced
        if _AGAIN.match(words) is None:
            break
    if code is None:
        code = _code_of(enhanced, words)
    words = _joined(words, code, enhanced)
    if enhanced is not None and int(enhanced[0]) != code // 100:  # RFC 2034 section 4: the classes agree, or it is only text
        words, enhanced = f"{enhanced} {words}", None
    return Quoted(reply=Reply(code=code, enhanced=enhanced, lines=(words,)), step=step)


def _code_of(enhanced: str | None, words: str) -> int:
    """The code of a reply that has none."""
    found = _ANYWHERE.search(words) if enhanced is None else None
    status = enhanced or (found[1].lstrip("#") if found else "")
    if status:
        return 450 if status.startswith("4") else 550
    return 450 if _HOPEFUL.search(words) else 550


def _unwrapped(words: str) -> tuple[str, Step | None]:
    """Without what other servers have put around the reply, and the step that they name."""
    step = None
    if ended := _POSTFIX_END.search(words):
        words, step = words[: ended.start()], STEPS[ended[1].lower()]
    if told := _SES.fullmatch(words):
        return f"{told[2]} {told[1]} {told[3]}", step
    if exim := _EXIM.search(words):
        return words[exim.end() :], step or STEPS[exim[1].lower()]
    if said := _SAID.search(words):
        return words[said.end() :], step or (Step.GREETING if _TALKED in said[0].lower() else None)
    return words, step


def _code(words: str) -> tuple[int | None, str]:
    """The code that begins the reply, and what follows; one in the middle counts only where an enhanced one follows."""
    first = _FIRST.match(words)
    inside = _INSIDE.search(words)
    if first is not None and (first[1][0] != "2" or inside is None):
        return int(first[1]), words[first.end() :].lstrip(" =,-")
    if inside is not None:
        return int(inside[1]), words[inside.end() :]
    return None, words


def _enhanced(words: str) -> tuple[str | None, str]:
    found = _ENHANCED.match(words)
    return (found[1].lstrip("#"), words[found.end() :]) if found is not None else (None, words)


def _joined(words: str, code: int, enhanced: str | None) -> str:
    """Without the codes that further lines of the same reply began with."""
    again = rf"(?:^|(?<=\s)){code}(?:[ =,-]+|$)"
    words = re.sub(rf"{again}(?:#?{re.escape(enhanced)}=?(?![.\d])\s*)?" if enhanced else again, "", words)
    if enhanced:
        words = re.sub(rf"^#?{re.escape(enhanced)}=?(?![.\d])\s*", "", words)
    return words.strip()
