import logging
from unittest import mock

from asgiref.sync import async_to_sync
from core.models import User
from django.conf import settings
from django.contrib.auth import aauthenticate, authenticate, login
from django.contrib.sessions.middleware import SessionMiddleware
from django.test import RequestFactory, TestCase, override_settings
from django.urls import reverse

LIMIT = settings.AXES_FAILURE_LIMIT
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.8"


# A fast hash: the tests try many passwords.
FAST = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])


@FAST
@override_settings(FORWARDED_ALLOW_IPS=["*"])
class LimitTests(TestCase):
    def setUp(self):
        # The log lines of these tests would fill the output.
        silent = [logging.NullHandler()]
        self.enterContext(mock.patch.object(logging.getLogger(), "handlers", silent))
        User.objects.create_superuser("ada", password="correct horse")

    def login(self, address, **fields):
        """Return the status: 302 for a login, 200 for the form again, 429 for a refusal."""
        return self.client.post(
            reverse("admin:login"),
            {"username": "ada", "password": "wrong"} | fields,
            headers={"x-forwarded-for": address},
        ).status_code

    def test_a_user_is_locked_out_at_one_address_only(self):
        statuses = [self.login(HOME) for _ in range(LIMIT)]

        self.assertEqual(statuses, [200] * (LIMIT - 1) + [429])
        self.assertEqual(self.login(HOME, password="correct horse"), 429)
        self.assertEqual(self.login(HOME, username="grace"), 200)
        self.assertEqual(self.login(ELSEWHERE, password="correct horse"), 302)
        # A login from another address does not unlock this one.
        self.assertEqual(self.login(HOME, password="correct horse"), 429)

    def test_an_address_that_all_clients_share_is_not_locked_out(self):
        for n in range(3 * LIMIT):
            self.assertEqual(self.login(HOME, username=f"user{n}"), 200)

        self.assertEqual(self.login(HOME, password="correct horse"), 302)

    def test_a_user_name_that_no_column_can_hold_is_no_crash(self):
        self.assertEqual(self.login(HOME, username="a" * 300), 200)

    def test_a_login_resets_the_failures_of_this_user_only(self):
        User.objects.create_superuser("mallory", password="her own")
        for _ in range(LIMIT - 1):
            self.login(HOME)
            self.login(HOME, username="mallory")

        self.assertEqual(self.login(HOME, username="mallory", password="her own"), 302)
        self.assertEqual(self.login(HOME, username="mallory"), 200)
        self.assertEqual(self.login(HOME), 429)

    def test_each_failed_login_is_logged(self):
        for _ in range(2):
            with self.assertLogs("axes") as logs:
                self.login(HOME, username="a\nb")
            (line,) = [line for line in logs.output if line.startswith("WARNING")]
            self.assertIn(f"failure by 'a\\nb' from {HOME}.", line)

    def test_code_that_logs_in_is_limited_too(self):
        request = RequestFactory().get("/")
        with self.settings(AXES_FAILURE_LIMIT=1):
            self.assertIsNone(authenticate(request, username="ada", password="wrong"))
            for call in authenticate, async_to_sync(aauthenticate):
                again = RequestFactory().get("/")
                self.assertIsNone(call(again, username="ada", password="correct horse"))
        for call in authenticate, async_to_sync(aauthenticate):
            user = call(RequestFactory().get("/"), username="ada", password="correct horse")
            self.assertEqual(user.username, "ada")

    def test_a_user_is_logged_in_without_naming_a_backend(self):
        request = RequestFactory().get("/")
        SessionMiddleware(lambda request: None).process_request(request)
        login(request, User.objects.get())

        self.assertEqual(request.session["_auth_user_backend"], "config.logins.LimitedBackend")


@FAST
class UnlimitedTests(TestCase):
    def test_the_test_client_can_log_in(self):
        user = User.objects.create_user("ada", password="correct horse")

        # Without a request there is no address, and so no limit.
        with self.assertLogs("axes"):
            for _ in range(LIMIT + 1):
                self.assertFalse(self.client.login(username="ada", password="wrong"))
        self.assertTrue(self.client.login(username="ada", password="correct horse"))
        self.client.logout()
        self.client.force_login(user)
        self.assertEqual(int(self.client.session["_auth_user_id"]), user.pk)
