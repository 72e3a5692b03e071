"""Models of the first app."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """The project's own user model, since Django cannot replace its user model later."""
