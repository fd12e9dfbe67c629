"""The Trio shell around the rules: sockets, clocks and tasks."""
