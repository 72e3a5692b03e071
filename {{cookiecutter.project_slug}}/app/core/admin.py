"""The admin."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from core.models import User

admin.site.site_header = settings.PROJECT_NAME
admin.site.site_title = settings.PROJECT_NAME
admin.site.register(User, UserAdmin)
