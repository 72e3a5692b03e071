"""Settings of {{ cookiecutter.project_slug }}, read from the environment.

Each of them can also be given as a file: SECRET_KEY_FILE=/run/secrets/secret_key. In a container
Compose passes what .env says; without Docker the same file is read from here.

See https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/ref/settings/
"""

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
    """The environment, in which NAME_FILE names a file that holds NAME."""

    def get_value(self, var, *args, **kwargs):
        """Return a setting without the newline that most files end with."""
        try:
            value = super().get_value(var, *args, **kwargs)
        except OSError as error:
            raise SystemExit(f"{var}_FILE cannot be read: {error}") from error
        return value.rstrip("\r\n") if isinstance(value, str) else value


env = Env()
env.read_env(BASE_DIR.parent / ".env")

PROJECT_NAME = {{ "%r" | format(cookiecutter.project_name) if '"' in cookiecutter.project_name else '"%s"' | format(cookiecutter.project_name | replace("\\", "\\\\")) }}

DEBUG = env.bool("DEBUG", default=False)
if not DEBUG:
    # None of these has a default that is fit for production.
    missing = [name for name in ("SECRET_KEY", "ALLOWED_HOSTS") if not env(name, default="")]
    if not (env("DATABASE_URL", default="") or env("POSTGRES_HOST", default="")):
        missing.append("DATABASE_URL or POSTGRES_HOST")
    if missing:
        # A line and status 1, under manage.py and gunicorn alike, where an exception is a traceback.
        raise SystemExit(f"With DEBUG off, set {', '.join(missing)}: see docs/troubleshooting.md.")

SECRET_KEY = env("SECRET_KEY", default="for-development-only")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

INSTALLED_APPS = [
    "core",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Serves static files the same way under runserver and gunicorn.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
]

MIDDLEWARE = [
    # First: what follows, and gunicorn's log, see the client's address.
    "core.proxy.ProxyMiddleware",
    # Early: who asks for health may know this container by its address only, and without TLS.
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
        "APP_DIRS": not DEBUG,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
if DEBUG:
    # Named here, the loaders are not cached: an edited template shows at the next request.
    TEMPLATES[0]["OPTIONS"]["loaders"] = [
        "django.template.loaders.filesystem.Loader",
        "django.template.loaders.app_directories.Loader",
    ]


# Database: DATABASE_URL where there is one (a managed server), else the POSTGRES_* of Compose.

if env("DATABASE_URL", default=""):
    DATABASES = {"default": env.db_url("DATABASE_URL")}
elif env("POSTGRES_HOST", default=""):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": env("POSTGRES_HOST"),
            "PORT": env("POSTGRES_PORT", default="5432"),
            "NAME": env("POSTGRES_DB"),
            "USER": env("POSTGRES_USER"),
            "PASSWORD": env("POSTGRES_PASSWORD"),
        }
    }
else:
    # For `python app/manage.py runserver` on a machine without Docker.
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}
    }

if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # A connection is kept between requests, and checked before it is used again. A server that
    # does not answer is given up after seconds, where TCP alone would take a quarter of an hour:
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TCP-USER-TIMEOUT
    DATABASES["default"] = {
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=60),
        "CONN_HEALTH_CHECKS": True,
        # True behind PgBouncer in transaction mode, which lends a connection for one transaction:
        # a cursor on the server would outlive it.
        "DISABLE_SERVER_SIDE_CURSORS": env.bool("DISABLE_SERVER_SIDE_CURSORS", default=False),
        **DATABASES["default"],
        "OPTIONS": {
            "connect_timeout": 3,  # seconds
            "tcp_user_timeout": 3000,  # milliseconds
            **DATABASES["default"].get("OPTIONS", {}),
        },
    }
{%- if cookiecutter.postgres_driver == "psycopg" %}
    if pool_size := env.int("POSTGRES_POOL_SIZE", default=0):
        # gunicorn.conf.py sets it: the threads of a process share connections. Commands have one
        # of their own, whose errors say what is wrong, where a pool would only say that it is empty.
        DATABASES["default"]["CONN_MAX_AGE"] = 0
        pool = {"min_size": 1, "max_size": pool_size, "timeout": 3}  # seconds
        DATABASES["default"]["OPTIONS"]["pool"] = pool
{%- endif %}
{%- if cookiecutter.django_version == "5.2" %}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
{%- endif %}

{%- if cookiecutter.use_redis %}


# Cache: Redis where there is one. While that does not answer, nothing is found in it and the site
# goes on; /health/ready says so.

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

# Failed logins are counted, and too many are refused: https://django-axes.readthedocs.io/
AUTHENTICATION_BACKENDS = ["core.logins.LimitedBackend"]
AXES_HANDLER = "core.logins.LimitHandler"
AXES_USERNAME_CALLABLE = "core.logins.username"
AXES_CLIENT_IP_CALLABLE = "core.logins.network"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1  # hours
AXES_RESET_ON_SUCCESS = True
# What is refused is not recorded, and no success is: the tables stay small.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
# Tests log in without a request, which has no address: `client.login()`.
AXES_ENABLED = sys.argv[1:2] != ["test"] and "pytest" not in sys.modules


# Security: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/security/

# With DEBUG off everything is HTTPS. That a request came by HTTPS is told by the proxy; gunicorn
# believes those whose addresses FORWARDED_ALLOW_IPS names, and by default this machine alone. They
# are also believed what the client's address is, and by default nobody: core/proxy.py.
FORWARDED_ALLOW_IPS = env.list("FORWARDED_ALLOW_IPS", default=[])
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
# An hour: a mistake is soon forgotten. A year, 31536000, when HTTPS is there to stay.
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600) if SECURE_SSL_REDIRECT else 0
# Both speak for names that this site does not serve, so they are off, and no check asks for them.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Pages take scripts, styles and the like from this site alone, and none that stands in the page.
# docs/csp.md says how to use packages that need more.
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
    # Browsers tell what they blocked, and the log says it: see core/csp.py.
    {{ 'CONTENT_SECURITY_POLICY["DIRECTIVES"]' if cookiecutter.django_version == "5.2" else "SECURE_CSP" }}["report-uri"] = ["/csp-report"]


# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "{{ cookiecutter.timezone }}"
USE_TZ = True


# Static files: collected into the production image, found where they are in development

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_AUTOREFRESH = DEBUG

# What users upload: a volume in the container

MEDIA_URL = "media/"
MEDIA_ROOT = env("MEDIA_ROOT", default=BASE_DIR.parent / "media")

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if not DEBUG:
    STORAGES["staticfiles"] = {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage",
        # The list of all files is for this process alone: outside of the folder that is served.
        "OPTIONS": {"manifest_storage": FileSystemStorage(location=BASE_DIR)},
    }


# Mail: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/email/

host = (ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="") or f"webmaster@{host}"
SERVER_EMAIL = env("SERVER_EMAIL", default="") or DEFAULT_FROM_EMAIL
# Who gets the errors of the site.
{%- if cookiecutter.django_version == "5.2" %}
ADMINS = [("", address) for address in env.list("ADMINS", default=[])]
{%- else %}
ADMINS = env.list("ADMINS", default=[])
{%- endif %}

if email_url := env("EMAIL_URL", default=""):
{%- if cookiecutter.django_version == "5.2" %}
    smtp = smtp_options(email_url)
    EMAIL_HOST = smtp["host"]
    EMAIL_PORT = smtp["port"]
    EMAIL_HOST_USER = smtp["username"]
    EMAIL_HOST_PASSWORD = smtp["password"]
    EMAIL_USE_TLS = smtp["use_tls"]
    EMAIL_USE_SSL = smtp["use_ssl"]
    EMAIL_TIMEOUT = smtp["timeout"]
elif DEBUG:
    # Into the log.
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
else:
    EMAIL_BACKEND = "config.mail.NotConfigured"
{%- else %}
    backend = {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": smtp_options(email_url),
    }
elif DEBUG:
    # Into the log.
    backend = {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
else:
    backend = {"BACKEND": "config.mail.NotConfigured"}
MAILERS = {"default": backend}
{%- endif %}


# Everything to standard output, where `docker compose logs` finds it

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
        # core/logins.py says in one line what axes says in five.
        "axes": {"level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
}
