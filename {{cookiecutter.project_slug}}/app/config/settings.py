"""Settings of {{ cookiecutter.project_slug }}, read from the environment.

Each variable can also be a file: SECRET_KEY_FILE=/run/secrets/secret_key. In containers Compose
passes the variables of .env; without Docker this module reads that file itself.

See https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/ref/settings/
"""

import re
{% if cookiecutter.media_storage == "s3" -%}
import sys
{% endif -%}
from pathlib import Path

import environ
{%- if cookiecutter.django_version == "5.2" %}
from csp.constants import NONE, SELF
{%- endif %}
from django.core import checks
{%- if cookiecutter.django_version != "5.2" %}
from django.utils.csp import CSP
{%- endif %}

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.FileAwareEnv):
    """The environment, where NAME_FILE may name a file that contains the value of NAME."""

    def get_value(self, var, cast=None, **options):
        """Return a value without the newline at the end of most files."""
        try:
            value = self.ENVIRON.get(var, "").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SystemExit(f"{var}_FILE cannot be read: {error}") from error
        # django-environ would take such a value for the name of another variable.
        if value.startswith("$"):
            return self.parse_value(value, cast)
        value = super().get_value(var, cast, **options)
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
        # This prints one line, in manage.py and gunicorn. Other exceptions would print a traceback.
        raise SystemExit(f"With DEBUG off, set {', '.join(missing)}: see docs/troubleshooting.md.")

SECRET_KEY = env("SECRET_KEY", default="for-development-only")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
if DEBUG:
    ALLOWED_HOSTS += [".localhost", "127.0.0.1", "[::1]"]
# Where forms come from if that is not the host that Django sees, such as a tunnel: https://name.example
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
{%- if cookiecutter.media_storage == "s3" %}
TESTING = sys.argv[1:2] == ["test"] or "pytest" in sys.modules
{%- endif %}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # This comes before staticfiles, because it has a runserver of its own.
    "core",
    "django.contrib.staticfiles",
    "axes",
{%- if cookiecutter.use_tasks %}
    "django_ox",
{%- endif %}
]

MIDDLEWARE = [
    # This is the first, so that all others, and gunicorn's log, see the client's address.
    "config.proxy.proxy_middleware",
    # Health checks use the container's address and HTTP, which the next ones would refuse.
    "config.health.health_middleware",
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

# The database is in DATABASE_URL (a managed server) or in the POSTGRES_* variables of Compose.
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
    # This is what `python app/manage.py runserver` uses on a machine without Docker.
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}

if database["ENGINE"] == "django.db.backends.postgresql":
    database = {
        # runserver makes a thread for each request, which would keep a connection of its own.
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=0 if DEBUG else 60),  # seconds
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
{%- if cookiecutter.postgres_storage != "tmpfs" %}


@checks.register("data")
def data_is_live(**_):
    """Warn where compose.yaml names another place for the data than the one recorded in .env."""
    configured, live = env("CONFIGURED_DATA", default=""), env("LIVE_DATA", default="")
    message = f"compose.yaml puts the data of db into {configured}. By LIVE_DATA in .env, the data "
    message += f"of this machine is in {live}: see docs/data.md."
    return [checks.Warning(message)] if configured and live and configured != live else []
{% endif %}
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

{%- if cookiecutter.use_tasks %}

# Tasks wait in the database: docs/tasks.md. A task can have max_attempts, backoff and timeout of its own.
TASKS = {
    "default": {
        "BACKEND": "core.queue.Backend",
        "OPTIONS": {
            "WORKER_CLASS": "core.queue.ListeningWorker",
            "MAX_ATTEMPTS": 10,  # with delays of 5, 10, 20 and so on seconds: half an hour in all
            "LOCK_TIMEOUT": 60,  # seconds until the task of a killed worker runs again
            "TASK_TIMEOUT": 3600,  # seconds that an attempt may take
            "SCHEDULES": {"prune": {"task": "core.tasks.prune", "cron": "@daily"}},
        },
    }
}
{%- endif %}

AUTH_USER_MODEL = "core.User"
LOGIN_URL = "admin:login"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Too many failed logins lock a user out, at one address only: https://django-axes.readthedocs.io/
AUTHENTICATION_BACKENDS = ["config.logins.LimitedBackend"]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1  # hours
AXES_RESET_ON_SUCCESS = True
# Neither refused logins nor successful ones are recorded, so that the tables stay small.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_USERNAME_CALLABLE = "config.logins.username"
AXES_CLIENT_STR_CALLABLE = "config.logins.describe"

# Security: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/security/

# The addresses of proxies that are trusted with X-Forwarded-Proto (by gunicorn, which reads the same
# variable) and with X-Forwarded-For (by config/proxy.py).
FORWARDED_ALLOW_IPS = env.list("FORWARDED_ALLOW_IPS", default=[])
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
# An hour is short, so that a mistake does not last. Set a year, 31536000, when HTTPS works for good.
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600) if SECURE_SSL_REDIRECT else 0
# Both are off, and not checked, because they affect domain names that this project does not serve.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Pages load scripts, styles and images from this site only, and no inline ones. For packages that
# need more, see "Content-Security-Policy" in docs/development.md.
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

LANGUAGE_CODE = "en-us"
TIME_ZONE = "{{ cookiecutter.timezone }}"

{% if cookiecutter.media_storage == "s3" -%}
# Static files, which the production image contains, and files that users upload: in a bucket. Tests,
# and development without S3_BUCKET, use a folder: docs/uploads.md
{%- else -%}
# The production image contains the static files. Files that users upload are in a volume.
{%- endif %}
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Tests run with DEBUG off and have no collected files, so this is DEBUG as it is set above.
WHITENOISE_AUTOREFRESH = DEBUG
MEDIA_URL = "media/"
MEDIA_ROOT = env("MEDIA_ROOT", default=BASE_DIR.parent / "media")


@checks.register("static", deploy=True)
def static_files_exist(**_):
    """Find the `static` tags that name no file: with DEBUG off, their pages are errors."""
    from django.contrib.staticfiles import finders

    return [
        checks.Error(f"{template.relative_to(BASE_DIR)}: there is no static file {name}")
        for template in BASE_DIR.glob("*/templates/**/*.html")
        for name in re.findall(r"% static ['\"]([^'\"]+)", template.read_text("utf-8"))
        if not finders.find(name)
    ]
{% if cookiecutter.media_storage == "s3" %}

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
    STORAGES["staticfiles"]["BACKEND"] = "whitenoise.storage.CompressedManifestStaticFilesStorage"
{%- else %}

if not DEBUG:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
{%- endif %}

# Mail: https://docs.djangoproject.com/en/{{ cookiecutter.django_version }}/topics/email/
host = (ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="") or f"webmaster@{host}"
SERVER_EMAIL = env("SERVER_EMAIL", default="") or DEFAULT_FROM_EMAIL
{%- if cookiecutter.django_version == "5.2" %}
ADMINS = [("", address) for address in env.list("ADMINS", default=[])]
{%- else %}
ADMINS = env.list("ADMINS", default=[])
{%- endif %}

if email_url := env("EMAIL_URL", default=""):
    try:
        # A password with one of the characters /?# would end the address too early.
        if not re.fullmatch(r"smtp(\+tls|\+ssl)?://[^/?#]*[^/?#@]", email_url):
            raise ValueError
        mail = env.email_url_config(email_url)
    except ValueError:
        message = 'EMAIL_URL cannot be read: see "Send mail" in docs/development.md.'
        raise SystemExit(message) from None
{%- if cookiecutter.django_version == "5.2" %}
{%- if cookiecutter.use_tasks %}
    EMAIL_BACKEND = "core.mail.QueueBackend"
{%- endif %}
    EMAIL_HOST = mail["EMAIL_HOST"]
    EMAIL_TIMEOUT = 10  # seconds
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]
    EMAIL_USE_TLS, EMAIL_USE_SSL = "EMAIL_USE_TLS" in mail, "EMAIL_USE_SSL" in mail
    EMAIL_PORT = mail["EMAIL_PORT"] or (587 if EMAIL_USE_TLS else 465 if EMAIL_USE_SSL else 25)
elif DEBUG:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
else:
    # There is no such backend, so whoever sends a mail gets an error that shows this text.
    EMAIL_BACKEND = "EMAIL_URL is not set"
{%- else %}
    # Without a port, Django takes 25, 465 or 587.
    options = {"host": mail["EMAIL_HOST"], "port": mail["EMAIL_PORT"], "timeout": 10}  # seconds
    options |= {"username": mail["EMAIL_HOST_USER"], "password": mail["EMAIL_HOST_PASSWORD"]}
    options |= {"use_tls": "EMAIL_USE_TLS" in mail, "use_ssl": "EMAIL_USE_SSL" in mail}
    MAILERS = {
{%- if cookiecutter.use_tasks %}
        "default": {"BACKEND": "core.mail.QueueBackend", "OPTIONS": options},
        "smtp": {"OPTIONS": options},
{%- else %}
        "default": {"OPTIONS": options},
{%- endif %}
        # A mail server that fails does not change the answer to a request that has failed.
        "errors": {"OPTIONS": options | {"fail_silently": True}},
    }
elif DEBUG:
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}
else:
    # There is no such backend, so whoever sends a mail gets an error that shows this text.
    MAILERS = {"default": {"BACKEND": "EMAIL_URL is not set"}}
{%- endif %}

# All logs go to the console, for `docker compose logs`. LOG_FORMAT=json makes each line an object.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{levelname} {name}: {message}", "style": "{"},
        "json": {"()": "config.logs.JsonFormatter"},
    },
    # runserver logs no static files, health checks or errors: Django logs errors itself.
    "filters": {
        "pages": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: (
                not re.search(r' /(static|health)/\S* HTTP|" [45]\d\d ', record.getMessage())
            ),
        },
    },
    "handlers": {
        "console": {
            "class": "config.logs.Console",
            "formatter": "json" if env("LOG_FORMAT", default="") == "json" else "text",
        },
{%- if cookiecutter.django_version == "5.2" %}
{%- if cookiecutter.use_tasks %}
        # Not through the queue: the error may be that the database is away.
        "mail_admins": {
            "class": "django.utils.log.AdminEmailHandler",
            "level": "ERROR",
            "email_backend": "django.core.mail.backends.smtp.EmailBackend",
        },
{%- else %}
        "mail_admins": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR"},
{%- endif %}
{%- else %}
        "mail_admins": {
            "class": "django.utils.log.AdminEmailHandler",
            "level": "ERROR",
            "using": "errors",
        },
{%- endif %}
    },
    "loggers": {
        "django": {"handlers": ["mail_admins"] if email_url and not DEBUG else []},
        # Without handlers of their own, the logs of the servers go to the console, too.
        "django.server": {"propagate": True, "filters": ["pages"]},
        "gunicorn.access": {"propagate": True},
        "gunicorn.error": {"propagate": True},
{%- if cookiecutter.use_tasks %}
        "{{ "django_tasks" if cookiecutter.django_version == "5.2" else "django.tasks" }}": {"level": "WARNING"},  # as django_ox
{%- endif %}
{%- if cookiecutter.use_tasks %}
        "django_ox": {"handlers": ["mail_admins"] if email_url and not DEBUG else []},
{%- endif %}
        # axes also logs each login that succeeds.
        "axes": {"level": "WARNING"},
    },
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
}
