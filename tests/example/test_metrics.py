"""Who may read /metrics, and in which format."""

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from prometheus_client import CONTENT_TYPE_LATEST

pytestmark = pytest.mark.usefixtures("database")


def client_of(visitor: str) -> Client:
    client = Client()
    if visitor != "anonymous":
        client.force_login(User.objects.create_user(visitor, is_staff=visitor == "staff"))
    return client


@pytest.mark.parametrize(
    ("visitor", "public", "status"),
    [
        pytest.param("anonymous", False, 404, id="anonymous"),
        pytest.param("user", False, 404, id="user"),
        pytest.param("staff", False, 200, id="staff"),
        pytest.param("anonymous", True, 200, id="anonymous, public"),
        pytest.param("user", True, 200, id="user, public"),
    ],
)
def test_metrics_are_for_staff_unless_they_are_public(
    visitor: str, public: bool, status: int
) -> None:
    with override_settings(METRICS_PUBLIC=public):
        response = client_of(visitor).get("/metrics")

    assert response.status_code == status


def test_hidden_metrics_look_like_an_unknown_path() -> None:
    with override_settings(METRICS_PUBLIC=False, DEBUG=False):
        hidden, unknown = Client().get("/metrics"), Client().get("/unknown")

    assert hidden.content == unknown.content


def test_metrics_are_hidden_from_a_deactivated_user() -> None:
    client = client_of("staff")
    User.objects.update(is_active=False)

    with override_settings(METRICS_PUBLIC=False):
        assert client.get("/metrics").status_code == 404


@pytest.mark.usefixtures("application")
def test_metrics_have_the_format_of_prometheus() -> None:
    with override_settings(METRICS_PUBLIC=True):
        response = Client().get("/metrics")

    assert response.headers["content-type"] == CONTENT_TYPE_LATEST
    assert "# TYPE http_server_request_duration_seconds histogram\n" in response.text
