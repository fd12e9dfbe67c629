"""Who is told what, and when: members are peers here, and nothing knows a socket."""
