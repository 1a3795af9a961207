"""Tokens: what we made verifies, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content.token import Purpose, TokenKeys
from sender.errors import ConfigError, ConfigErrors

KEYS = TokenKeys({"b": b"b" * 32, "a": b"a" * 32})


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_verifies_for_its_purpose_only(purpose: Purpose) -> None:
    token = KEYS.make("spring", 123).of(purpose)
    assert [other for other in Purpose if KEYS.verify(other, token)] == [purpose]
    assert KEYS.verify(purpose, token) == KEYS.verify(purpose, token.upper()) == ("spring", 123)


def test_any_change_of_one_character_is_noticed() -> None:
    token = KEYS.make("spring-1", 0xAB).return_path
    for place, char in enumerate(token):
        for other in "0a2z-é":
            if other != char:
                assert KEYS.verify(Purpose.RETURN_PATH, token[:place] + other + token[place + 1 :]) is None


def test_letters_that_only_fold_to_ours_are_no_token() -> None:
    token = KEYS.make("desk", 7).return_path
    assert KEYS.verify(Purpose.RETURN_PATH, token.replace("s", "\u017f", 1).replace("k", "\u212a", 1)) is None


@given(st.text(max_size=80))
def test_anything_else_is_no_token(text: str) -> None:
    assert KEYS.verify(Purpose.UNSUBSCRIBE, text) is None


def test_keys_rotate() -> None:
    old, new = TokenKeys({"a": b"a" * 32}), TokenKeys({"c": b"c" * 32})
    token = old.make("spring", 1).unsubscribe
    assert KEYS.verify(Purpose.UNSUBSCRIBE, token) == ("spring", 1)  # still checked, no longer first
    assert new.verify(Purpose.UNSUBSCRIBE, token) is None
    assert KEYS.make("spring", 1).unsubscribe.removeprefix("spring-1")[0] == "b"


def test_the_longest_campaign_fits_a_local_part() -> None:
    token = KEYS.make("c" * 32, 16**7 - 1).return_path
    assert len("bounce+" + token) == 64
    assert KEYS.verify_return_path(f"bounce+{token}@shop.example") == ("c" * 32, 16**7 - 1)
    assert KEYS.verify_return_path("bounce@shop.example") is None


def test_key_files() -> None:
    keys = TokenKeys.parse("# newest first\nb " + "62" * 32 + "\n\na  " + "61" * 32 + " # old\n", file="keys")
    assert keys.make("spring", 1) == KEYS.make("spring", 1)
    assert repr(keys) == "<TokenKeys b a>"
    for text in ("", "b 62", "b " + "6" * 33, "bb " + "62" * 16, "b " + "62" * 16 + "\nb " + "63" * 16, "b " + "zz" * 16):
        with pytest.raises(ConfigErrors) as caught:
            TokenKeys.parse(text, file="keys")
        assert "62" * 16 not in str(caught.value)
    with pytest.raises(ConfigError):
        TokenKeys({"a": b"short"})
