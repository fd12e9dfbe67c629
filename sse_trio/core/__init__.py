"""The rules. No trio, no clock, no socket, no randomness: values in, values out."""
