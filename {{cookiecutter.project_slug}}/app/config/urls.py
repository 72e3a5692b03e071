"""Which address is answered by which view."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.auth import views
from django.urls import include, path

title = {"site_header": settings.PROJECT_NAME, "site_title": settings.PROJECT_NAME}

urlpatterns = [
    path("", include("core.urls")),
    # "Forgotten your login credentials?" on the admin's login page: the name of the first of these
    # makes it show.
    path(
        "admin/password_reset/",
        views.PasswordResetView.as_view(extra_context=title),
        name="admin_password_reset",
    ),
    path(
        "admin/password_reset/done/",
        views.PasswordResetDoneView.as_view(extra_context=title),
        name="password_reset_done",
    ),
    path(
        "admin/reset/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(extra_context=title),
        name="password_reset_confirm",
    ),
    path(
        "admin/reset/done/",
        views.PasswordResetCompleteView.as_view(extra_context=title),
        name="password_reset_complete",
    ),
    path("admin/", admin.site.urls),
    # With DEBUG on only: in production, files that users upload are not Django's to serve.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
