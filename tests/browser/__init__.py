"""The browser client in a real browser, with the command as its server."""
