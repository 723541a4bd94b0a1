"""What the app tells the test: a line for each event, with the process in which it was."""

import os


def say(event: str) -> None:
    # In one piece: the processes of a server share their output.
    os.write(1, f"event {os.getpid()} {event}\n".encode())
