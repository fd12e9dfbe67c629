"""The exit statuses of the command."""

DONE, FAILED, WRONG = 0, 1, 2
