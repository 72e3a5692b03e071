from django.apps import AppConfig
from django.core.checks import register

from config.mail import check_mail


class CoreConfig(AppConfig):
    name = "core"

    def ready(self):
        register(check_mail, deploy=True)
