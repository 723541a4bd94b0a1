"""How IDs are generated and recognized."""

import re
import string
import subprocess
import sys
import time
from random import Random

import pytest

from asgi_middleware import generate_request_id, is_uuid, is_valid_request_id, uuid7_hex

from .formats import FORMATS


def test_generated_ids_differ() -> None:
    assert len({generate_request_id() for _ in range(1000)}) == 1000


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="needs fork")
def test_generated_ids_differ_after_a_fork() -> None:
    code = (
        "import os; from asgi_middleware import generate_request_id;"
        "generate_request_id(); child = os.fork();"
        "os.write(1, f'{generate_request_id()}\\n'.encode()); child and os.wait()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    first, second = done.stdout.split()
    assert first != second


def test_a_uuid7_is_a_uuid_of_version_7() -> None:
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", uuid7_hex())


def test_a_uuid7_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = int(uuid7_hex()[:12], 16)

    assert before <= made <= time.time_ns() // 1_000_000


def test_uuid7s_of_one_millisecond_differ() -> None:
    assert len({uuid7_hex() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("request_id", "accepted"),
    [
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3d", True, id="hex"),
        pytest.param("7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d", True, id="dashes"),
        pytest.param("7F9C24E8-3B12-4FEF-91E0-4D7C0A1B2C3D", True, id="upper case"),
        pytest.param("7f9c24e8-3b124fef-91e0-4d7c0a1b2c3d", False, id="a dash missing"),
        pytest.param("{7f9c24e83b124fef91e04d7c0a1b2c3d}", False, id="braces"),
        pytest.param("urn:uuid:7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d", False, id="URN"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3d\n", False, id="line break"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3g", False, id="not a hexadecimal digit"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3", False, id="too short"),
        pytest.param("\u0667f9c24e83b124fef91e04d7c0a1b2c3d", False, id="digit of another script"),
        pytest.param("-" * 100_000 + "7f9c24e83b124fef91e04d7c0a1b2c3d", False, id="100 kB"),
    ],
)
def test_is_uuid_accepts_only_uuids_in_hex_or_with_dashes(request_id: str, accepted: bool) -> None:
    assert is_uuid(request_id) is accepted


@pytest.mark.parametrize(("source", "request_id"), FORMATS, ids=[source for source, _ in FORMATS])
def test_the_id_of_each_source_is_valid(source: str, request_id: str) -> None:
    assert is_valid_request_id(request_id)


LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# The alphabets that generators of IDs draw from, and how many characters they draw.
ALPHABETS = {
    "decimal": (string.digits, 19),
    "hexadecimal": (string.hexdigits, 32),
    "Crockford's base32": ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
    "base36": (string.digits + string.ascii_lowercase, 25),
    "base58": ("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 22),
    "base62": (LETTERS_AND_DIGITS, 27),
    "base64": (LETTERS_AND_DIGITS + "+/", 22),
    "base64url": (LETTERS_AND_DIGITS + "-_", 21),
    "unreserved characters of a URL": (LETTERS_AND_DIGITS + "-._~", 20),
    "Apache's mod_unique_id": (LETTERS_AND_DIGITS + "@-", 24),
}


@pytest.mark.parametrize("name", ALPHABETS)
def test_no_random_id_from_a_common_alphabet_is_refused(name: str) -> None:
    alphabet, length = ALPHABETS[name]
    random = Random(name)

    refused = [
        request_id
        for first in alphabet
        for _ in range(20)
        if not is_valid_request_id(
            request_id := first + "".join(random.choices(alphabet, k=length))
        )
    ]

    assert refused == []


HEROKUS = "f9ed4675f1c53513c61a3b3b4e25b4c0"
# Whitespace, markup, and what could end a field of a log line or be expanded by a viewer.
MISREAD = [
    *(chr(code) for code in (*range(0x21), 0x7F, 0x85, 0xA0, 0xE9, 0x2028, 0x212A, 0x1F600)),
    *"\"'`,\\<>%$&(){}[]*^",
]


@pytest.mark.parametrize("around", ["{}", "{}b", "a{}", "a{}b", HEROKUS + "{}" + "0" * 19])
def test_an_id_with_a_character_that_a_log_could_misread_is_refused(around: str) -> None:
    accepted = [each for each in MISREAD if is_valid_request_id(around.replace("{}", each))]

    assert accepted == []


@pytest.mark.parametrize(
    ("request_id", "accepted"),
    [
        pytest.param("a" * 200, True, id="200 characters"),
        pytest.param("a" * 201, False, id="201 characters"),
        pytest.param("", False, id="empty"),
        pytest.param("-", False, id="Envoy's placeholder"),
        pytest.param("-" * 200, False, id="neither a letter nor a digit"),
        pytest.param("-" * 199 + "a", True, id="one letter"),
        pytest.param("abc\n", False, id="line break at the end"),
        pytest.param("${jndi:ldap://evil.example/a}", False, id="an expression"),
        pytest.param("abc%0d%0aset-cookie:a", False, id="percent-encoded"),
        pytest.param("\x1b[31mabc", False, id="escape sequence of a terminal"),
        pytest.param(f"{HEROKUS},{HEROKUS},{HEROKUS}", True, id="Heroku's list of three"),
        pytest.param(",".join([HEROKUS] * 6), True, id="Heroku's list, 197 characters"),
        pytest.param(",".join([HEROKUS] * 7), False, id="Heroku's list, 230 characters"),
        pytest.param(f"{HEROKUS},", False, id="comma at the end"),
        pytest.param(f",{HEROKUS}", False, id="comma at the start"),
        pytest.param(f"{HEROKUS},,{HEROKUS}", False, id="two commas"),
        pytest.param(f"{HEROKUS}, {HEROKUS}", False, id="space after the comma"),
        pytest.param(f"{HEROKUS},abc", False, id="list with a short ID"),
        pytest.param("a,b", False, id="list of two letters"),
    ],
)
def test_an_id_is_valid_if_a_log_can_contain_it_safely(request_id: str, accepted: bool) -> None:
    assert is_valid_request_id(request_id) is accepted


@pytest.mark.parametrize("part", ["a", "-", ",", "a,", HEROKUS + ",", " ", "|"])
def test_an_id_of_ten_megabytes_is_refused_at_once(part: str) -> None:
    # A regular expression that backtracks at each character would take forever.
    assert not is_valid_request_id(part * (10_000_000 // len(part)))
