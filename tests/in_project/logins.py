from asgiref.sync import async_to_sync
from core.logins import USERS_PER_ADDRESS
from core.models import User
from django.conf import settings
from django.contrib.auth import aauthenticate, authenticate
from django.test import RequestFactory, TestCase, override_settings
from django.urls import reverse

LIMIT = settings.AXES_FAILURE_LIMIT
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.8"


# A fast hash: the tests try many passwords.
@override_settings(
    AXES_ENABLED=True,
    FORWARDED_ALLOW_IPS=["*"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
class LimitTests(TestCase):
    def setUp(self):
        # The log lines of these tests would fill the output.
        self.enterContext(self.assertLogs())
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

    def test_an_address_that_tries_many_users_is_locked_out(self):
        with self.settings(AXES_FAILURE_LIMIT=2):
            statuses = [self.login(HOME, username=f"user{n}") for n in range(2 * USERS_PER_ADDRESS)]

            self.assertEqual(statuses[-2:], [200, 429])
            self.assertEqual(self.login(HOME, password="correct horse"), 429)
            self.assertEqual(self.login(ELSEWHERE, password="correct horse"), 302)

    def test_an_ipv6_network_counts_as_one_address(self):
        statuses = [self.login(f"2001:db8:1:2::{n:x}") for n in range(LIMIT)]

        self.assertEqual(statuses[-1], 429)
        self.assertEqual(self.login("2001:db8:1:3::1"), 200)
        # IPv4 addresses are not in one IPv6 network.
        self.assertEqual([self.login(f"::ffff:192.0.2.{n}") for n in range(LIMIT)], [200] * LIMIT)

    def test_a_login_resets_the_failures_of_this_user_only(self):
        User.objects.create_superuser("mallory", password="her own")
        for _ in range(LIMIT - 1):
            self.login(HOME)
            self.login(HOME, username="mallory")

        self.assertEqual(self.login(HOME, username="mallory", password="her own"), 302)
        self.assertEqual(self.login(HOME, username="mallory"), 200)
        self.assertEqual(self.login(HOME), 429)

    def test_each_failed_login_is_logged(self):
        with self.assertLogs("core.logins") as logs:
            self.login(HOME, username="a\nb")
        self.assertEqual(logs.output, [f"WARNING:core.logins:failed login for 'a\\nb' from {HOME}"])

        with self.settings(AXES_FAILURE_LIMIT=1), self.assertLogs("core.logins") as logs:
            self.login(HOME)
            self.login(HOME)
        self.assertIn(f"failed login for 'ada' from {HOME} (locked out)", logs.output[1])
        self.assertNotIn("locked out", logs.output[0])

    def test_code_that_logs_in_is_limited_too(self):
        request = RequestFactory().get("/")
        with self.settings(AXES_FAILURE_LIMIT=1):
            self.assertIsNone(authenticate(request, username="ada", password="wrong"))
            for call in authenticate, async_to_sync(aauthenticate):
                again = RequestFactory().get("/")
                self.assertIsNone(call(again, username="ada", password="correct horse"))
        with self.assertRaisesMessage(ValueError, "requires a request"):
            authenticate(username="ada", password="correct horse")


class UnlimitedTests(TestCase):
    def test_the_test_client_can_log_in(self):
        user = User.objects.create_user("ada", password="correct horse")

        self.assertTrue(self.client.login(username="ada", password="correct horse"))
        self.client.logout()
        self.client.force_login(user)
        self.assertEqual(int(self.client.session["_auth_user_id"]), user.pk)
