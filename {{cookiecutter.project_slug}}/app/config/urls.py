"""The URLs of the site. /health/live and /health/ready are in config/health.py, as middleware."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path

from core import views

title = {"site_header": settings.PROJECT_NAME, "site_title": settings.PROJECT_NAME}
password_reset = [
    # The name of the first URL makes the admin's login page show a link to it.
    ("password_reset/", auth.PasswordResetView, "admin_password_reset"),
    ("password_reset/done/", auth.PasswordResetDoneView, "password_reset_done"),
    ("reset/<uidb64>/<token>/", auth.PasswordResetConfirmView, "password_reset_confirm"),
    ("reset/done/", auth.PasswordResetCompleteView, "password_reset_complete"),
]

urlpatterns = [
    path("", views.home, name="home"),
    *(
        path(f"admin/{url}", view.as_view(extra_context=title), name=name)
        for url, view, name in password_reset
    ),
    path("admin/", admin.site.urls),
]
if settings.DEBUG:
    # Only development serves uploads here. In production, a web server or a bucket does.
    urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)
