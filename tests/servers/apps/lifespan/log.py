"""What the app reports to the test: a line for each event, with its process."""

import os


def say(event: str) -> None:
    # In a single write, because the processes of a server share their output.
    os.write(1, f"event {os.getpid()} {event}\n".encode())
