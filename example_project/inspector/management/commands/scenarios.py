"""Play the scenarios without a browser: ``manage.py scenarios``."""

import asyncio
import logging
import textwrap
from argparse import ArgumentParser
from contextlib import AsyncExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from example_project.inspector.scenarios.child import child_server
from example_project.inspector.scenarios.player import play
from example_project.inspector.scenarios.table import SCENARIOS


class Command(BaseCommand):
    """Print what is expected and what was observed. Fail if anything is not as expected."""

    help = "Play the scenarios of the page on a child server, or on the server at --url."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", help="a running example, such as http://127.0.0.1:8000")
        parser.add_argument(
            "--only", default="", metavar="TEXT", help="only scenarios with TEXT in their name"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        # A log line for each request would bury the table.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        failed = asyncio.run(self._played(options["url"], options["only"]))
        if failed:
            raise CommandError(f"not as expected: {', '.join(failed)}")

    async def _played(self, url: str | None, only: str) -> list[str]:
        failed = []
        width = max(len(scenario.name) for scenario in SCENARIOS)
        async with AsyncExitStack() as stack:
            if url is None:
                url, _ = await stack.enter_async_context(child_server())
            async for scenario, observation in play(url, only):
                word = self.style.SUCCESS("ok  ") if observation.ok else self.style.ERROR("FAIL")
                self.stdout.write(f"{word}  {scenario.name:<{width}}  {scenario.text}")
                observed = textwrap.indent(observation.observed, " " * (width + 8))
                self.stdout.write(observed)
                if not observation.ok:
                    failed.append(scenario.name)
        return failed
