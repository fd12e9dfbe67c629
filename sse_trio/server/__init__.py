"""The Trio shell around the hub: sockets, tasks and bytes, and no rule."""
