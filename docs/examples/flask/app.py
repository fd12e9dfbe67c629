"""A Flask application with a login. Lines with a number are about single sessions: README.md."""

import os

from flask import Flask, redirect, render_template_string, request, session

from sse_trio.apps import HubAway, Settings  # 1
from sse_trio.apps.wsgi import SingleSession, login_of  # 1

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
settings = Settings(https=os.environ.get("PLAIN_HTTP") != "1", redirect="/")  # 1
app.wsgi_app = SingleSession(app.wsgi_app, settings=settings)  # 1

USERS = {"ada": "analytical engine", "grace": "first compiler"}  # your table of users
FORM = """<!doctype html><form method="post">
<input name="username"><input name="password" type="password"><button>Log in</button></form>"""
PAGE = """<!doctype html>
{{ login.guard() }}  {# 4 #}
<h1>Hello {{ session.user }}</h1>
<form method="post" action="/logout"
 onsubmit="document.querySelector('session-guard').remove()">{# 5 #}
<button>Log out</button></form>"""


@app.before_request  # 2
def forget_a_login_that_has_ended():
    if request.endpoint != "static" and session.get("user") != login_of(request.environ).user:
        session.clear()


@app.get("/")
def home():
    if "user" not in session:
        return redirect("/login")
    return render_template_string(PAGE, login=login_of(request.environ))  # 4


@app.route("/login", methods=["GET", "POST"])
def log_in():
    if request.method == "GET":
        return FORM
    user = request.form["username"]
    if USERS.get(user) != request.form["password"]:
        return FORM, 401
    login_of(request.environ).log_in(user)  # 3
    session["user"] = user
    return redirect("/")


@app.post("/logout")
def log_out():
    login_of(request.environ).log_out()  # 5
    session.clear()
    return redirect("/login")


@app.errorhandler(HubAway)  # 6
def away(error):
    return "Nobody can log in now. Try again.", 503, {"Retry-After": "1"}
