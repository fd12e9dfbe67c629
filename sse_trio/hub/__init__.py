"""Decides which members get which message, and when. Nothing here knows a socket."""
