"""A state for tests that call Django without the layers."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, RequestFactory, SimpleTestCase, override_settings
from django.urls import path

from asgi_middleware import get_state, get_tasks
from asgi_middleware.testing.django import SpawnedTasks, override_state

log: list[str] = []


def sync_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"client": get_state()["client"]})


async def async_view(request: HttpRequest) -> JsonResponse:
    return sync_view(request)


async def receipt() -> None:
    log.append("receipt")


def order(request: HttpRequest) -> HttpResponse:
    get_tasks().spawn(receipt, restart="never")
    return HttpResponse("ordered")


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("order/", order),
]
PAGES = ("/sync/", "/async/")


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    log.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]):
        yield


@pytest.mark.parametrize("page", PAGES)
def test_without_a_state_djangos_client_raises_an_error_that_says_what_to_use(page: str) -> None:
    with pytest.raises(LookupError, match=r"with override_state\(name=value\):"):
        Client().get(page)


@pytest.mark.parametrize("page", PAGES)
def test_djangos_client_has_the_values(page: str) -> None:
    with override_state(client="fake"):
        assert Client().get(page).json() == {"client": "fake"}


@pytest.mark.parametrize("page", PAGES)
async def test_djangos_async_client_has_the_values(page: str) -> None:
    with override_state(client="fake"):
        assert (await AsyncClient().get(page)).json() == {"client": "fake"}
    async with override_state(client="another"):
        assert (await AsyncClient().get(page)).json() == {"client": "another"}


def test_a_view_that_a_test_calls_has_the_values() -> None:
    with override_state(client="fake"):
        assert sync_view(RequestFactory().get("/")).status_code == 200


def test_a_thread_has_the_values() -> None:
    with override_state(client="fake"):
        thread = threading.Thread(target=lambda: log.append(get_state()["client"]))
        thread.start()
        thread.join()

    assert log == ["fake"]


@override_state(client="fake")
def test_override_state_decorates_a_sync_test() -> None:
    assert get_state()["client"] == "fake"


@override_state(client="fake")
async def test_override_state_decorates_an_async_test() -> None:
    await asyncio.sleep(0)
    assert get_state()["client"] == "fake"


def test_override_state_decorates_a_class_of_tests() -> None:
    @override_state(client="fake")
    class Decorated(SimpleTestCase):
        def test_sync(self) -> None:
            log.append(get_state()["client"])

        async def test_async(self) -> None:
            log.append(get_state()["client"])

    for name in ("test_sync", "test_async"):
        Decorated(name).debug()

    assert log == ["fake", "fake"]
    with pytest.raises(LookupError):
        get_state()


def test_a_key_that_is_set_during_a_request_is_there_afterwards() -> None:
    with override_state() as state:
        get_state()["mine"] = 1

        assert state["mine"] == get_state()["mine"] == 1


def test_an_inner_override_keeps_the_other_values() -> None:
    with override_state(a=1, b=1):
        with override_state(b=2):
            inner = dict(get_state())
        outer = dict(get_state())

    assert (inner["a"], inner["b"]) == (1, 2)
    assert (outer["a"], outer["b"]) == (1, 1)
    with pytest.raises(LookupError):
        get_state()


def test_overrides_may_end_in_any_order() -> None:
    first, second = override_state(name="first"), override_state(name="second")
    first.enable()
    second.enable()

    first.disable()
    assert get_state()["name"] == "second"
    second.disable()

    with pytest.raises(LookupError):
        get_state()


def test_an_override_ends_when_its_test_fails() -> None:
    with pytest.raises(KeyError), override_state():
        raise KeyError

    with pytest.raises(LookupError):
        get_state()


def test_spawned_tasks_wait_until_the_test_runs_them() -> None:
    with override_state() as state:
        Client().post("/order/")
        tasks: SpawnedTasks = state["tasks"]
        [task] = tasks.spawned
        assert (task.name, task.restart, log) == ("receipt", "never", [])

        async_to_sync(tasks.run)()

    assert log == ["receipt"]
    assert tasks.spawned == []


async def test_spawned_tasks_and_the_tasks_that_they_spawn_run_in_order() -> None:
    async def first() -> None:
        log.append("first")
        get_tasks().spawn(third)

    async def second() -> None:
        log.append("second")

    async def third() -> None:
        log.append("third")

    with override_state() as state:
        get_tasks().spawn(first)
        get_tasks().spawn(second)
        await state["tasks"].run()

    assert log == ["first", "second", "third"]


async def test_an_exception_of_a_spawned_task_reaches_the_test() -> None:
    async def crashes() -> None:
        raise KeyError("mine")

    with override_state() as state:
        get_tasks().spawn(crashes)
        with pytest.raises(KeyError, match="mine"):
            await state["tasks"].run()


def test_the_options_of_a_spawn_are_checked_as_usual() -> None:
    wrong: Any = "sometimes"

    with override_state(), pytest.raises(ValueError, match="restart: 'sometimes' is not known"):
        get_tasks().spawn(receipt, restart=wrong)


def test_your_own_tasks_replace_ours() -> None:
    mine = SpawnedTasks()

    with override_state(tasks=mine):
        assert get_tasks() is mine
