"""Models of the first app."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """The project's own user model: with data, Django's is hard to replace."""
