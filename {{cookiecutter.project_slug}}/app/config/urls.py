"""The URLs of the site. /health/live and /health/ready are in core/health.py, as middleware."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path

from core import csp, views

title = {"site_header": settings.PROJECT_NAME, "site_title": settings.PROJECT_NAME}

urlpatterns = [
    path("", views.home, name="home"),
    # The name of this URL makes the admin's login page show a link to it.
    path(
        "admin/password_reset/",
        auth.PasswordResetView.as_view(extra_context=title),
        name="admin_password_reset",
    ),
    path(
        "admin/password_reset/done/",
        auth.PasswordResetDoneView.as_view(extra_context=title),
        name="password_reset_done",
    ),
    path(
        "admin/reset/<uidb64>/<token>/",
        auth.PasswordResetConfirmView.as_view(extra_context=title),
        name="password_reset_confirm",
    ),
    path(
        "admin/reset/done/",
        auth.PasswordResetCompleteView.as_view(extra_context=title),
        name="password_reset_complete",
    ),
    path("admin/", admin.site.urls),
]
if settings.DEBUG:
    # Production serves uploaded files without Django, and blocks without a report.
    urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)
    urlpatterns.append(path("csp-report", csp.report))
    csp.keep_reports_out_of_access_logs()
