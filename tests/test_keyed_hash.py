"""HMAC-SHA256 with its key hashed once: the same as the library's, for any key and any message."""

import hmac

from hypothesis import example, given
from hypothesis import strategies as st

from sender.keyed_hash import KeyedHash


@given(st.binary(max_size=200), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
@example(b"", [b""])
@example(bytes(64), [b"a key of one block"])
@example(bytes(65), [b"a key that is hashed first"])
def test_it_is_what_the_library_makes_message_after_message(key: bytes, messages: list[bytes]) -> None:
    keyed = KeyedHash(key)
    assert [keyed.digest(message) for message in messages] == [hmac.digest(key, message, "sha256") for message in messages]


def test_a_published_code() -> None:
    """RFC 4231 section 4.3."""
    published = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert KeyedHash(b"Jefe").digest(b"what do ya want for nothing?").hex() == published


def test_it_keeps_its_secret() -> None:
    assert repr(KeyedHash(b"secret")) == "<KeyedHash>"
