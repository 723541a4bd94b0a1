import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_middleware.types import ASGIApp, Message, Middleware, Receive, Scope, Send
from benchmarks.__main__ import main
from benchmarks.in_process import INSTALLED, WrongResponseError, measure
from benchmarks.report import as_json, table
from benchmarks.scenarios import OURS, SCENARIOS, Arm, Scenario

# A few messages of each stream are enough, because no test here depends on the timings.
SHORT = [replace(scenario, chunks=scenario.chunks[:10]) for scenario in SCENARIOS]


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the other tests' objects frozen, so the garbage collector skips them in each run."""
    monkeypatch.setattr("benchmarks.in_process.gc.unfreeze", lambda: None)


def installed(arm: Arm) -> bool:
    return all(name in INSTALLED for name in arm.needs)


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
async def test_every_arm_responds_correctly_and_is_timed(scenario: Scenario) -> None:
    result = await measure(scenario, rounds=1, seconds=0)

    assert len(result.floor) == 1
    assert {arm: len(figures) for arm, figures in result.arms.items()} == {
        arm.name: 1 for arm in scenario.arms if installed(arm)
    }


def test_names_of_scenarios_are_unique_and_our_arm_comes_first() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert {scenario.arms[0].name for scenario in SCENARIOS} == {OURS}


def changing(**fields: Any) -> Middleware:
    """Return a middleware that replaces *fields* in each message that has them."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def changed(scope: Scope, receive: Receive, send: Send) -> None:
            async def edited(message: Message) -> None:
                await send({**message, **{k: v for k, v in fields.items() if k in message}})

            await app(scope, receive, edited)

        return changed

    return wrap


TAG = (b"X-Request-ID", b"0" * 32)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({}, "x-request-id '', not '0{32}'", id="no header"),
        pytest.param(
            {"headers": [TAG, TAG]},
            f"x-request-id '{'0' * 32}, {'0' * 32}', not '0{{32}}'",
            id="repeated header",
        ),
        pytest.param(
            {"headers": [TAG], "status": 404}, "status '404', not '200'", id="another status"
        ),
        pytest.param(
            {"headers": [TAG], "body": b"bye"}, "a body that is not the app's", id="another body"
        ),
    ],
)
async def test_an_arm_that_responds_incorrectly_is_an_error(
    change: dict[str, Any], problem: str
) -> None:
    arm = Arm("peer", changing(**change))
    scenario = Scenario("mw=tag/req=plain", (arm,), headers={"x-request-id": "0{32}"})

    with pytest.raises(WrongResponseError) as wrong:
        await measure(scenario, rounds=1, seconds=0)

    assert str(wrong.value) == f"mw=tag/req=plain: peer sends {problem}"


async def test_an_arm_that_is_not_installed_is_left_out_and_named_in_the_table() -> None:
    def unavailable(app: object) -> None:
        raise AssertionError("the arm was called, although it is not installed")

    ours = Arm(OURS, lambda app: app)
    missing = Arm("peer", unavailable, needs=("no-such-distribution",))  # type: ignore[arg-type]

    result = await measure(Scenario("mw=tag/req=plain", (ours, missing)), rounds=1, seconds=0)

    assert result.arms.keys() == {OURS}
    assert table([result]).endswith("Left out: peer (not installed: no-such-distribution)")
    assert as_json([result])["versions"]["no-such-distribution"] is None


def test_a_run_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.QUICK", (1, 0))
    monkeypatch.setattr("benchmarks.__main__.SCENARIOS", SHORT)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--json", str(tmp_path / "r.json")])

    main()

    names = [scenario.name for scenario in SCENARIOS]
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("mw=")] == names
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [result["scenario"] for result in written["results"]] == names
