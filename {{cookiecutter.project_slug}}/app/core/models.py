"""Models of the first app."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """The project's own user model: a field can be added later, the model could not be swapped."""
