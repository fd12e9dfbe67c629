"""A Django application with a login. Lines with a number are about single sessions: README.md."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application

HTTPS = os.environ.get("PLAIN_HTTP") != "1"
FORM = """<!doctype html>
<form method="post">{% csrf_token %}{{ form }}<button>Log in</button></form>"""
PAGE = """<!doctype html>{{ request.sse_trio.guard }}  {# 2 #}
<h1>Hello {{ request.user.username }}</h1>
<form method="post" action="/logout/"
 onsubmit="document.querySelector('session-guard').remove()">{# 3 #}
{% csrf_token %}<button>Log out</button></form>"""
TEMPLATES = {"login.html": FORM, "home.html": PAGE}

settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SESSION_COOKIE_SECURE=HTTPS,
    CSRF_COOKIE_SECURE=HTTPS,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}},
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions")],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "sse_trio.apps.django.SingleSession",  # 1
    ],
    SSE_TRIO={"redirect": "/"},  # 1
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [("django.template.loaders.locmem.Loader", TEMPLATES)],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ],
)
application = get_wsgi_application()  # what follows needs the settings

from django.contrib.auth import decorators, views  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.generic import TemplateView  # noqa: E402

home = TemplateView.as_view(template_name="home.html")
urlpatterns = [
    path("", decorators.login_required(home, login_url="/login/")),
    path("login/", views.LoginView.as_view(template_name="login.html", next_page="/")),
    path("logout/", views.LogoutView.as_view(next_page="/login/")),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
