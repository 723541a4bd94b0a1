"""How IDs are generated and recognized."""

import re
import subprocess
import sys
import time

import pytest

from asgi_middleware import generate_request_id, is_uuid, uuid7_hex


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


def test_two_uuid7s_of_one_millisecond_differ() -> None:
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
def test_only_uuids_are_uuids(request_id: str, accepted: bool) -> None:
    assert is_uuid(request_id) is accepted
