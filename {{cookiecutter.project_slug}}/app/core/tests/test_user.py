from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import call_command
from django.test import TestCase
from django.urls import reverse

from core.models import User


class UserTests(TestCase):
    def test_is_the_user_model_of_the_project(self):
        self.assertIs(get_user_model(), User)

    def test_logs_into_the_admin(self):
        User.objects.create_superuser("ada", password="correct horse")

        self.assertTrue(self.client.login(username="ada", password="correct horse"))
        self.assertContains(self.client.get(reverse("admin:core_user_changelist")), "ada")

    def test_gets_a_mail_for_a_forgotten_password(self):
        User.objects.create_user("ada", "ada@shop.example", password="correct horse")
        page = reverse("admin_password_reset")

        self.assertContains(self.client.get(reverse("admin:login")), page)
        self.client.post(page, {"email": "ada@shop.example"})

        (message,) = mail.outbox
        self.assertEqual(message.to, ["ada@shop.example"])
        self.assertIn("/admin/reset/", message.body)

    def test_migrations_say_what_the_models_say(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
