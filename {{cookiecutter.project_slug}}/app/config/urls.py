"""Which address is answered by which view."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("core.urls")),
    path("admin/", admin.site.urls),
    # With DEBUG on only: in production, files that users upload are not Django's to serve.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
