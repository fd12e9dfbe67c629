"""The Django example, with two users whose passwords are hashed in no time."""

import sys

import app
import waitress
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command

if __name__ == "__main__":
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0)
    for name, password in (("ada", "analytical engine"), ("grace", "first compiler")):
        get_user_model().objects.create_user(name, password=password)
    waitress.serve(app.application, listen=f"127.0.0.1:{sys.argv[1]}")
