"""The demo's campaign: a template with merge fields, and recipients from a list that is as clean as lists are."""

import random
from collections.abc import Iterator
from pathlib import Path

from workers.emulator.people import addresses
from workers.emulator.world import World

CAMPAIGN = "spring"
DOMAIN = "shop.example"

_FIRST_NAMES = ("Ana", "Bjørn", "Chloé", "David", "Élodie", "Fatima", "Grzegorz", "Hana", "Iñigo", "Jürgen", "李娜", "Зоя")
_CITIES = ("Lyon", "Besançon", "Nîmes", "Köln", "Łódź", "A Coruña", "Reykjavík", "Paris")

_TOML = f"""\
from = "La Boutique <news@{DOMAIN}>"
reply_to = "hello@{DOMAIN}"
subject = "{{{{ name }}}}, spring has come to {{{{ city }}}}"
list_id = "spring.news.{DOMAIN}"
list_unsubscribe = "https://{DOMAIN}/u/{{{{ unsubscribe_token }}}}"
feedback_id = "spring:news:penstock"
text_file = "spring.txt"
html_file = "spring.html"
"""

_TEXT = """\
Hello {{ name }},

The new season has come to {{ city }}. With the code {{ code }} the
postage is ours until Sunday.

See you soon,
La Boutique
"""

_HTML = """\
<!doctype html>
<html><body style="font-family: sans-serif">
<h1>Hello {{ name }},</h1>
<p>the new season has come to <b>{{ city }}</b>.</p>
<p>With the code <tt>{{ code }}</tt> the postage is ours until Sunday.</p>
"""


def write(directory: Path, world: World, recipients: int) -> tuple[Path, Path]:
    """Write the campaign and its list; returns both paths. The same world and number give the same files."""
    campaign, rows = directory / f"{CAMPAIGN}.toml", directory / "recipients.csv"
    campaign.write_text(_TOML, encoding="utf-8")
    (directory / "spring.txt").write_text(_TEXT, encoding="utf-8")
    (directory / "spring.html").write_text(_HTML + "<p>Warmly, La Boutique</p>\n" * 8 + "</body></html>\n", encoding="utf-8")
    with rows.open("wb") as file:
        file.write(b"email,name,city,code\r\n")
        file.writelines(_rows(world, recipients))
    return campaign, rows


def _rows(world: World, recipients: int) -> Iterator[bytes]:
    """Every 200th row is one of the sorts that real lists hold."""
    rng = random.Random(world.options.seed)
    dirty = 0
    for number, address in enumerate(addresses(world, recipients)):
        name, city = rng.choice(_FIRST_NAMES), rng.choice(_CITIES)
        if number % 200 == 199:
            yield _DIRTY[dirty % len(_DIRTY)]
            dirty += 1
        else:
            yield f"{address},{name},{city},{rng.randrange(10**6):06}\r\n".encode()


_DIRTY = (
    b"no at sign.example,Ana,Lyon,1\r\n",
    b",Bj\xc3\xb8rn,K\xc3\xb6ln,2\r\n",
    b"two@@signs.example,Chlo\xc3\xa9,Paris,3\r\n",
    b"short@gmail.com,David\r\n",
    b"latin1@orange.fr,Ren\xe9,N\xeemes,4\r\n",
    b'"quoted, name"@yahoo.com,Hana,"Lyon, 3e",5\r\n',
    b"reader@no-such-domain.example,Zoe,Paris,6\r\n",
    b"nobody@null-mx.example,Ana,Paris,7\r\n",
    b"user@[127.0.0.1],Eve,Paris,8\r\n",
    b"line@break.example\x0b,Eve,Paris,9\r\n",
)
