"""Starlette on Uvicorn, with httptools and uvloop: a cookie that itsdangerous has signed."""

import itsdangerous
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .rooms import KEY, arguments, prepare

PORT, _, __, ___ = arguments()
WEEK = 7 * 86400

signer = itsdangerous.TimestampSigner(KEY)


async def verify(request: Request) -> Response:
    try:
        who = signer.unsign(request.cookies["session"], max_age=WEEK).decode()
    except (KeyError, itsdangerous.BadSignature):
        return Response(status_code=401)
    room, _, session = who.partition(":")
    return Response(status_code=204, headers={"X-Session-Room": room, "X-Session-Id": session})


application = Starlette(routes=[Route("/verify", verify)])


if __name__ == "__main__":
    prepare()
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        backlog=65535,
        log_level="warning",
        access_log=False,
    )
