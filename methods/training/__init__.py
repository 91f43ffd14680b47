"""One training loop, resumable to the last bit, with its rows and loss curve."""
