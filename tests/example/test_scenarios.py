"""The table of scenarios, and the code that plays them."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from django.test import Client

from asgi_middleware import Stack, ThreadPoolMiddleware
from asgi_middleware.testing.django import override_state
from example_project.inspector.scenarios.player import BELONGS, HOLDS
from example_project.inspector.scenarios.table import SCENARIOS, Check, Scenario, Send
from example_project.inspector.scenarios.views import BOUND, CALLS

SCRIPTS = Path(__file__).resolve().parents[2] / "example_project/inspector/static/inspector"
# What a player sees in a response itself. It waits for everything else.
OF_A_RESPONSE = {"read", "status", "id", "body"}

of_all = pytest.mark.parametrize(
    "scenario", [pytest.param(each, id=each.name) for each in SCENARIOS]
)


def test_each_scenario_has_a_name_of_its_own() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


@of_all
def test_a_player_understands_every_check_of_a_scenario(scenario: Scenario) -> None:
    assert scenario.send
    assert scenario.expect
    for check in scenario.expect:
        assert check.how in HOLDS
        assert check.of.split(".")[0] in OF_A_RESPONSE | BELONGS.keys()


@pytest.mark.usefixtures("database")
@of_all
def test_the_page_gets_a_scenario_from_the_table(scenario: Scenario) -> None:
    with override_state(live=object()):
        page = Client().get("/").content.decode()
    _, _, rest = page.partition('<script id="table" type="application/json">')
    table = json.loads(rest.partition("</script>")[0])

    [found] = [each for each in table if each["name"] == scenario.name]
    assert found == json.loads(json.dumps(asdict(scenario)))
    assert f'data-scenario="{scenario.name}"' in page


@of_all
def test_no_script_of_the_page_contains_a_scenario(scenario: Scenario) -> None:
    for script in SCRIPTS.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert scenario.text not in text
        assert [send.path for send in scenario.send if send.path in text] == []


@pytest.mark.parametrize(
    ("send", "words"),
    [
        pytest.param(Send("/a/"), "GET /a/", id="a request"),
        pytest.param(
            Send("/a/{new}/", "POST", by="friend", size=20_000, cookies=True),
            "POST /a/…/ with 20,000 bytes with cookies from another origin",
            id="from another origin",
        ),
        pytest.param(
            Send("/a/", headers={"x-request-id": "a" * 201}, leave=True),
            f"GET /a/ x-request-id: {'a' * 28} and leave",
            id="a long header",
        ),
        pytest.param(
            Send("/ws/", "WebSocket", by="stranger"),
            "WebSocket /ws/ from a stranger",
            id="from a stranger",
        ),
    ],
)
def test_a_card_says_what_is_sent(send: Send, words: str) -> None:
    assert str(send) == words


@pytest.mark.parametrize(
    ("check", "words"),
    [
        pytest.param(Check("", "read", True), "yes", id="a boolean"),
        pytest.param(Check("", "status", 413), "413", id="a number"),
        pytest.param(Check("", "record.duration", 900, "at least"), "at least 900", id="a minimum"),
        pytest.param(Check("", "id", "body.request_id", "same as"), "the same", id="the same"),
        pytest.param(Check("", "log", "^INFO", "matches"), "a line with the ID", id="a log line"),
    ],
)
def test_a_card_says_what_is_expected(check: Check, words: str) -> None:
    assert check.wanted == words


def test_the_burst_scenario_expects_the_numbers_of_the_pool(application: Stack) -> None:
    [pool] = [each.pool for each in application.layers if isinstance(each, ThreadPoolMiddleware)]
    [burst] = [scenario for scenario in SCENARIOS if scenario.name == "burst"]

    assert pool._limit == BOUND
    assert [check.value for check in burst.expect] == [CALLS, BOUND]
    assert burst.text.startswith(f"{CALLS} requests at once share {BOUND} threads.")
