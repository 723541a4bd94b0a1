"""Django tests: run them with ``manage.py test example_project``."""

from django.contrib.auth.models import User
from django.test import Client, TestCase, TransactionTestCase, override_settings

from asgi_middleware.testing.django import StackClient, override_state

from .models import Note


class Page(TestCase):
    """Django alone, without the layers: the fastest way to test a view."""

    def test_a_note_from_the_form_is_shown(self) -> None:
        response = self.client.post("/notes/", {"text": "Hello"}, follow=True)

        self.assertContains(response, "Hello <time")

    def test_a_note_that_is_too_long_is_refused(self) -> None:
        response = self.client.post("/notes/", {"text": "x" * 201})

        self.assertContains(response, "at most 200 characters", status_code=400)
        self.assertFalse(Note.objects.exists())

    def test_a_form_from_another_site_is_refused(self) -> None:
        client = Client(enforce_csrf_checks=True)

        self.assertEqual(client.post("/notes/", {"text": "forged"}).status_code, 403)

    def test_there_is_no_stream_under_wsgi(self) -> None:
        self.assertEqual(self.client.get("/notes/stream/").status_code, 404)

    def test_a_new_note_starts_the_tasks(self) -> None:
        with override_state() as state:
            self.client.post("/notes/", {"text": "Hello"})

        names = [task.name for task in state["tasks"].spawned]
        self.assertEqual(names, ["announce", "forget_old_notes"])


# The default hasher takes a second for each password, and more on a busy machine.
@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class Site(TransactionTestCase):
    """The whole application, with its layers and its startup. Tasks run, too."""

    async def test_the_page_has_the_id_of_its_request(self) -> None:
        async with StackClient() as client:
            response = await client.get("/notes/")

        self.assertContains(response, response.headers["X-Request-ID"])

    async def test_the_status_has_the_seconds_since_startup(self) -> None:
        async with StackClient() as client:
            status = (await client.get("/status/")).json()

        self.assertGreaterEqual(status["seconds"], 0)

    async def test_a_user_logs_in(self) -> None:
        await User.objects.acreate_user("ada", password="a password")
        async with StackClient() as client:
            await client.post("/login/", {"username": "ada", "password": "a password"})
            page = await client.get("/login/")

        self.assertContains(page, "You are logged in as ada.")
