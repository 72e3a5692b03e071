"""Settings of {{ cookiecutter.project_slug }}, read from the environment.

Each variable can also be a file: SECRET_KEY_FILE=/run/secrets/secret_key. In containers Compose
passes the variables of .env; without Docker this module reads that file itself.

See https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/ref/settings/
"""

{% if cookiecutter.media_storage == "s3" -%}
import re
{% endif -%}
import sys
from pathlib import Path

import environ
{%- if cookiecutter.django_version == "5.2" %}
from csp.constants import NONE, SELF
{%- endif %}
from django.core.files.storage import FileSystemStorage
{%- if cookiecutter.django_version != "5.2" %}
from django.utils.csp import CSP
{%- endif %}

from config.mail import smtp_options

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.FileAwareEnv):
    """The environment, where NAME_FILE may name a file that contains the value of NAME."""

    def get_value(self, var, *args, **kwargs):
        """Return a value without the newline at the end of most files."""
        try:
            value = super().get_value(var, *args, **kwargs)
        except (OSError, UnicodeDecodeError) as error:
            raise SystemExit(f"{var}_FILE cannot be read: {error}") from error
        return value.rstrip("\r\n") if isinstance(value, str) else value


env = Env()
env.read_env(BASE_DIR.parent / ".env")

PROJECT_NAME = {{ "%r" | format(cookiecutter.project_name) if '"' in cookiecutter.project_name else '"%s"' | format(cookiecutter.project_name | replace("\\", "\\\\")) }}

DEBUG = env.bool("DEBUG", default=False)
if not DEBUG:
    # None of these has a default that is safe in production.
{%- if cookiecutter.media_storage == "s3" %}
    names = ("SECRET_KEY", "ALLOWED_HOSTS", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY")
    missing = [name for name in names if not env(name, default="")]
{%- else %}
    missing = [name for name in ("SECRET_KEY", "ALLOWED_HOSTS") if not env(name, default="")]
{%- endif %}
    if not (env("DATABASE_URL", default="") or env("POSTGRES_HOST", default="")):
        missing.append("DATABASE_URL or POSTGRES_HOST")
    if missing:
        # One line and status 1, in manage.py and gunicorn. Other exceptions would print a traceback.
        raise SystemExit(f"With DEBUG off, set {', '.join(missing)}: see docs/troubleshooting.md.")

SECRET_KEY = env("SECRET_KEY", default="for-development-only")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
{%- if cookiecutter.media_storage == "s3" %}
TESTING = sys.argv[1:2] == ["test"] or "pytest" in sys.modules
{%- endif %}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles, so that runserver, too, leaves static files to WhiteNoise.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "core",
]

MIDDLEWARE = [
    # First, so that all others, and gunicorn's log, see the client's address.
    "core.proxy.ProxyMiddleware",
    # Before the checks of host name and HTTPS: health checks use the container's address and HTTP.
    "core.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "{{ "csp.middleware.CSPMiddleware" if cookiecutter.django_version == "5.2" else "django.middleware.csp.ContentSecurityPolicyMiddleware" }}",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


# Database: DATABASE_URL (a managed server), or the POSTGRES_* variables of Compose, or SQLite

if env("DATABASE_URL", default=""):
    database = env.db_url("DATABASE_URL")
elif env("POSTGRES_HOST", default=""):
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env("POSTGRES_HOST"),
        "PORT": env("POSTGRES_PORT", default="5432"),
        "NAME": env("POSTGRES_DB"),
        "USER": env("POSTGRES_USER"),
        "PASSWORD": env("POSTGRES_PASSWORD"),
    }
else:
    # For `python app/manage.py runserver` on a machine without Docker.
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}

if database["ENGINE"] == "django.db.backends.postgresql":
    database = {
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=60),
        "CONN_HEALTH_CHECKS": True,
        # Set it to true behind PgBouncer in transaction mode.
        "DISABLE_SERVER_SIDE_CURSORS": env.bool("DISABLE_SERVER_SIDE_CURSORS", default=False),
        **database,
    }
    # Without these, a request would wait up to 15 minutes for a server that does not answer.
    timeouts = {"connect_timeout": 3, "tcp_user_timeout": 3000}  # seconds, milliseconds
    database["OPTIONS"] = timeouts | database.get("OPTIONS", {})
{%- if cookiecutter.postgres_driver == "psycopg" %}
    if pool_size := env.int("POSTGRES_POOL_SIZE", default=0):
        # Only gunicorn.conf.py sets it. Commands use no pool, because a pool reports a timeout
        # in place of the reason why it cannot connect.
        database["CONN_MAX_AGE"] = 0
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 3}  # seconds
        database["OPTIONS"]["pool"] = pool
{%- endif %}

DATABASES = {"default": database}
{%- if cookiecutter.django_version == "5.2" %}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
{%- endif %}

{%- if cookiecutter.use_redis %}


# Cache: Redis. If it does not answer, every lookup is a miss, and /health/ready reports it.

if env("REDIS_HOST", default=""):
    CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{env('REDIS_HOST')}:6379/0",
            "OPTIONS": {
                "PASSWORD": env("REDIS_PASSWORD"),
                "SOCKET_CONNECT_TIMEOUT": 0.5,  # seconds
                "SOCKET_TIMEOUT": 0.5,
                "IGNORE_EXCEPTIONS": True,
            },
        }
    }
{%- endif %}


# Users

AUTH_USER_MODEL = "core.User"
LOGIN_URL = "admin:login"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Too many failed logins lock a user out: https://django-axes.readthedocs.io/
AUTHENTICATION_BACKENDS = ["core.logins.LimitedBackend"]
AXES_HANDLER = "core.logins.LimitHandler"
AXES_USERNAME_CALLABLE = "core.logins.username"
AXES_CLIENT_IP_CALLABLE = "core.logins.network"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1  # hours
AXES_RESET_ON_SUCCESS = True
# Record neither refused logins nor successful ones, so that the tables stay small.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
# Off in tests: `client.login()` has no request, which axes needs.
AXES_ENABLED = {% if cookiecutter.media_storage == "s3" %}not TESTING{% else %}sys.argv[1:2] != ["test"] and "pytest" not in sys.modules{% endif %}


# Security: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/security/

# The addresses of proxies that are trusted with X-Forwarded-Proto (by gunicorn, which reads the same
# variable) and with X-Forwarded-For (by core/proxy.py).
FORWARDED_ALLOW_IPS = env.list("FORWARDED_ALLOW_IPS", default=[])
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
# An hour, so that a mistake does not last. Set a year, 31536000, when HTTPS works for good.
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600) if SECURE_SSL_REDIRECT else 0
# Off, with their checks, because both affect domain names that this project does not serve.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Pages load scripts, styles and images from this site only, and no inline ones. For packages that
# need more, see docs/csp.md.
{%- if cookiecutter.django_version == "5.2" %}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
{%- else %}
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "base-uri": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
{%- endif %}
if DEBUG:
    # Browsers report what they block, and core/csp.py logs it.
    {{ 'CONTENT_SECURITY_POLICY["DIRECTIVES"]' if cookiecutter.django_version == "5.2" else "SECURE_CSP" }}["report-uri"] = ["/csp-report"]


# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "{{ cookiecutter.timezone }}"


{% if cookiecutter.media_storage == "s3" -%}
# Static files, which the production image contains, and files that users upload: in a bucket. Tests,
# and development without S3_BUCKET, use a folder: docs/uploads.md
{%- else -%}
# Static files, which the production image contains, and files that users upload, in a volume
{%- endif %}

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# WhiteNoise's own default would be off in tests, too, which have no collected files.
WHITENOISE_AUTOREFRESH = DEBUG
MEDIA_URL = "media/"
MEDIA_ROOT = env("MEDIA_ROOT", default=BASE_DIR.parent / "media")
{%- if cookiecutter.media_storage == "s3" %}

uploads = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
if (bucket := env("S3_BUCKET", default="")) and not TESTING:
    region = env("S3_REGION", default="") or "us-east-1"
    # Empty for AWS, where the bucket is part of the host name.
    endpoint = env("S3_ENDPOINT_URL", default="").rstrip("/")
    for name, value, pattern in (
        ("S3_BUCKET", bucket, r"[\w.-]{3,63}"),
        ("S3_REGION", region, r"[a-z0-9-]+"),
        # A browser loads nothing from http:// into a page of https://.
        ("S3_ENDPOINT_URL", endpoint, rf"(https{'?' if DEBUG else ''}://[\w.:\[\]-]+(/\S+)?)?"),
    ):
        if not re.fullmatch(pattern, value, re.ASCII):
            raise SystemExit(f"{name} cannot be {value!r}: see docs/uploads.md.")
    if endpoint.partition("://")[2].startswith(f"{bucket}.") or endpoint.endswith(f"/{bucket}"):
        raise SystemExit(
            f"S3_ENDPOINT_URL is {endpoint}: write it without the bucket. If this is the address of "
            "the service, give the bucket another name."
        )
    if (bundle := env("AWS_CA_BUNDLE", default=None)) is not None and not Path(bundle).is_file():
        raise SystemExit(f"AWS_CA_BUNDLE is {bundle!r}, a file that does not exist.")
    keys = {name: env(f"S3_{name.upper()}", default="") for name in ("access_key", "secret_key")}
    if not all(keys.values()):
        raise SystemExit("S3_BUCKET needs S3_ACCESS_KEY and S3_SECRET_KEY: see docs/uploads.md.")
    uploads = {
        "BACKEND": "core.uploads.UploadStorage",
        "OPTIONS": {
            "endpoint_url": endpoint or f"https://s3.{region}.amazonaws.com",
            "addressing_style": "path" if endpoint else "virtual",
            "region_name": region,
            "bucket_name": bucket,
            **keys,
        },
    }
    MIDDLEWARE.append("core.uploads.StoreErrorMiddleware")
    # Pages may show images, audio and video from this bucket.
    source = f"{endpoint}/{bucket}/" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com/"
{%- if cookiecutter.django_version == "5.2" %}
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"].append(source)
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["media-src"] = [SELF, source]
{%- else %}
    SECURE_CSP["img-src"].append(source)
    SECURE_CSP["media-src"] = [CSP.SELF, source]
{%- endif %}

STORAGES = {
    "default": uploads,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if not DEBUG:
    STORAGES["staticfiles"] = {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage",
        # Outside of the folder that is served: nobody needs a list of all files.
        "OPTIONS": {"manifest_storage": FileSystemStorage(location=BASE_DIR)},
    }
{%- else %}

if not DEBUG:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {
            "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage",
            # Outside of the folder that is served: nobody needs a list of all files.
            "OPTIONS": {"manifest_storage": FileSystemStorage(location=BASE_DIR)},
        },
    }
{%- endif %}


# Mail: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/email/

host = (ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="") or f"webmaster@{host}"
SERVER_EMAIL = env("SERVER_EMAIL", default="") or DEFAULT_FROM_EMAIL
# Each of these gets a mail for each error of the site.
{%- if cookiecutter.django_version == "5.2" %}
ADMINS = [("", address) for address in env.list("ADMINS", default=[])]
{%- else %}
ADMINS = env.list("ADMINS", default=[])
{%- endif %}

if email_url := env("EMAIL_URL", default=""):
{%- if cookiecutter.django_version == "5.2" %}
    # EMAIL_HOST, EMAIL_PORT and so on.
    globals().update(smtp_options(email_url))
elif DEBUG:
    # Print mails into the log.
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
else:
    EMAIL_BACKEND = "config.mail.NotConfigured"
{%- else %}
    backend = {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": smtp_options(email_url),
    }
elif DEBUG:
    # Print mails into the log.
    backend = {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
else:
    backend = {"BACKEND": "config.mail.NotConfigured"}
MAILERS = {"default": backend}
{%- endif %}


# Logs: to the console, for `docker compose logs`

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{levelname} {name}: {message}", "style": "{"},
        "json": {"()": "config.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "json" if env("LOG_FORMAT", default="") == "json" else "text",
        },
        "mail_admins": {"class": "config.mail.AdminEmailHandler", "level": "ERROR"},
    },
    "loggers": {
        "django": {"handlers": ["mail_admins"] if ADMINS and not DEBUG else []},
        # core/logins.py logs the same in one line instead of five.
        "axes": {"level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
}
