"""The URLs of the site. /health/live and /health/ready are in core/health.py, as middleware."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path

from core import csp, views

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
    # Production serves uploaded files without Django, and blocks without a report.
    urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)
    urlpatterns.append(path("csp-report", csp.report))
    csp.keep_reports_out_of_access_logs()
