"""A FastAPI application with a login. Lines with a number are about single sessions: README.md."""

import html
import os

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from sse_trio.apps import HubAway, Settings  # 1
from sse_trio.apps.asgi import SingleSession, login_of  # 1

HTTPS = os.environ.get("PLAIN_HTTP") != "1"
app = FastAPI(default_response_class=HTMLResponse)
app.add_middleware(SessionMiddleware, os.environ["SECRET_KEY"], https_only=HTTPS)
app.add_middleware(SingleSession, settings=Settings(https=HTTPS, redirect="/"))  # 1

USERS = {"ada": "analytical engine", "grace": "first compiler"}  # your table of users
FORM = """<!doctype html><form method="post">
<input name="username"><input name="password" type="password"><button>Log in</button></form>"""
PAGE = """<!doctype html>{guard}<h1>Hello {user}</h1><form method="post" action="/logout"
onsubmit="document.querySelector('session-guard').remove()"><button>Log out</button></form>"""


def current_user(request: Request) -> str | None:
    user = login_of(request.scope).user  # 2
    return user if user == request.session.get("user") else None  # 2


@app.get("/")
async def home(request: Request):
    if (user := current_user(request)) is None:
        return RedirectResponse("/login", 303)
    return PAGE.format(user=html.escape(user), guard=login_of(request.scope).guard())  # 4


@app.get("/login")
async def form():
    return FORM


@app.post("/login")
async def log_in(request: Request, username: str = Form(), password: str = Form()):
    if USERS.get(username) != password:
        return HTMLResponse(FORM, 401)
    await login_of(request.scope).log_in(username)  # 3
    request.session["user"] = username
    return RedirectResponse("/", 303)


@app.post("/logout")
async def log_out(request: Request):
    await login_of(request.scope).log_out()  # 5
    request.session.clear()
    return RedirectResponse("/login", 303)


@app.exception_handler(HubAway)  # 6
async def away(request: Request, error: HubAway):
    return HTMLResponse("Nobody can log in now. Try again.", 503, {"Retry-After": "1"})
