"""Which clients' headers are trusted."""

from typing import Any

import pytest

from asgi_middleware._trust import trust_check

PROXY = ("10.0.0.7", 1)


@pytest.mark.parametrize(
    ("trusted", "client", "expected"),
    [
        pytest.param(True, PROXY, True, id="everybody"),
        pytest.param(False, PROXY, False, id="nobody"),
        pytest.param([], PROXY, False, id="nobody listed"),
        pytest.param(["10.0.0.7"], PROXY, True, id="address"),
        pytest.param(["10.0.0.8"], PROXY, False, id="another address"),
        pytest.param(["192.0.2.0/24", "10.0.0.0/8"], PROXY, True, id="network"),
        pytest.param(["192.0.2.0/24"], PROXY, False, id="another network"),
        pytest.param(["10.0.0.0/8"], ["10.0.0.7", "1"], True, id="granian's client"),
        pytest.param(["10.0.0.0/8"], ("::ffff:10.0.0.7", 1), True, id="IPv4-mapped client"),
        pytest.param(["2001:db8::/32"], ("2001:db8::7", 1), True, id="IPv6"),
        pytest.param(["fe80::/10"], ("fe80::1%eth0", 1), True, id="IPv6 with a zone"),
        pytest.param(["::/0"], PROXY, False, id="an IPv6 network contains no IPv4"),
        pytest.param(["unix"], None, True, id="Unix socket"),
        pytest.param(["unix"], ("", "0"), True, id="granian's Unix socket"),
        pytest.param(["unix"], PROXY, False, id="TCP is not a Unix socket"),
        pytest.param(["0.0.0.0/0"], None, False, id="a Unix socket has no address"),
        pytest.param(["0.0.0.0/0"], ("testclient", 1), False, id="a name is not an address"),
        pytest.param(lambda scope: scope["client"] == PROXY, PROXY, True, id="callable"),
        pytest.param(lambda scope: False, PROXY, False, id="callable that returns False"),
        pytest.param(lambda scope: scope["no such key"], PROXY, False, id="callable that raises"),
    ],
)
def test_a_client_is_trusted_by_its_address_or_by_a_callable(
    trusted: Any, client: object, expected: bool
) -> None:
    assert trust_check(trusted)({"type": "http", "client": client}) is expected


def test_a_client_without_an_address_is_on_a_unix_socket() -> None:
    assert trust_check(["unix"])({"type": "http"}) is True
