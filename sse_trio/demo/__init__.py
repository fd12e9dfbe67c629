"""The demo: a login application with its hub, to see it work in two browsers.

`sse-trio demo` runs it; the extra `demo` brings what it needs. It is an example of how a
web application uses `sse_trio.auth`, not a part of it.
"""
