"""The second half: whose request this is. Cookies, verdicts, keys and sessions.

A termination ends a page. This part makes the login behind it worth nothing: it issues
the two cookies of a login, judges every request by them, and asks the hub's own memory
whether the login still stands.
"""
