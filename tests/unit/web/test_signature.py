import pytest

from evalwindow.errors import Unauthorized
from evalwindow.web.webhooks import check_signature

# The example of GitHub's documentation, "Validating webhook deliveries".
SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_githubs_own_example_passes():
    check_signature(BODY, signature=SIGNATURE, secret=SECRET)


@pytest.mark.parametrize(
    "signature",
    ["", SIGNATURE.removeprefix("sha256="), SIGNATURE.replace("sha256", "sha1"), SIGNATURE[:-1] + "8", "sha256=é"],
)
def test_any_other_signature_is_refused(signature):
    with pytest.raises(Unauthorized, match="missing or wrong"):
        check_signature(BODY, signature=signature, secret=SECRET)


def test_one_changed_byte_is_noticed():
    with pytest.raises(Unauthorized):
        check_signature(BODY + b" ", signature=SIGNATURE, secret=SECRET)


def test_a_server_without_a_secret_takes_nothing():
    with pytest.raises(Unauthorized, match="EVALWINDOW_WEBHOOK_SECRET"):
        check_signature(BODY, signature=SIGNATURE, secret="")
