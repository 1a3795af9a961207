"""Signatures as Standard Webhooks has them, and secrets that nobody is told."""

import base64

import pytest

from sender.errors import ConfigError
from workers.consumers.signature import batch_id, mark, signed, signing_keys

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the reference implementation's own tests
BODY = b'{"test": 2432232314}'


def test_the_reference_implementations_vector_is_met() -> None:
    (key,) = signing_keys(SECRET, "here")
    name, moment = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
    assert mark(key, name, moment, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_key_signs_while_one_takes_the_others_place() -> None:
    old, new = signing_keys(f"{SECRET}\nwhsec_{base64.b64encode(b'k' * 32).decode()}\n", "here")
    headers = signed([old, new], BODY, 1614265330.4)
    name = headers["webhook-id"]
    assert name == batch_id(BODY)
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == f"{mark(old, name, '1614265330', BODY)} {mark(new, name, '1614265330', BODY)}"


def test_a_batch_has_the_id_of_its_octets() -> None:
    assert batch_id(BODY) == batch_id(bytes(BODY)) != batch_id(BODY + b" ")


@pytest.mark.parametrize(
    "text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!!", " ".join([SECRET] * 11)]
)
def test_what_is_no_secret_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        signing_keys(text, "hooks.secret")
    assert str(error.value).startswith("hooks.secret: ")
    assert not any(word in str(error.value) for word in text.split() if word)
