from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import TestCase, override_settings
from django.urls import reverse

from core.models import User


# The default hash is slow on purpose.
@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class UserTests(TestCase):
    def setUp(self):
        self.user = User.objects.create_superuser("ada", "ada@shop.example", "correct horse")

    def test_is_the_user_model_of_the_project(self):
        self.assertIs(get_user_model(), User)

    def test_logs_in_to_the_admin(self):
        self.assertTrue(self.client.login(username="ada", password="correct horse"))
        self.assertContains(self.client.get(reverse("admin:core_user_changelist")), "ada")

    def test_gets_a_mail_for_a_forgotten_password(self):
        page = reverse("admin_password_reset")

        self.assertContains(self.client.get(reverse("admin:login")), page)
        self.client.post(page, {"email": "ada@shop.example"})

        (message,) = mail.outbox
        self.assertEqual(message.to, ["ada@shop.example"])
        self.assertIn("/admin/reset/", message.body)

    def test_is_locked_out_after_too_many_failed_logins(self):
        form = {"username": "ada", "password": "wrong"}
        with self.assertLogs():
            for _ in range(settings.AXES_FAILURE_LIMIT):
                self.client.post(reverse("admin:login"), form)
            right = form | {"password": "correct horse"}
            response = self.client.post(reverse("admin:login"), right)

        self.assertEqual(response.status_code, 429)
