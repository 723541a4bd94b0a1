"""docs/reference.md has every public name, in the module that exports it."""

import re
from importlib import import_module

import pytest

from .process import ROOT

SECTIONS = re.findall(
    r"^\.\. currentmodule:: (\S+)\n(.*?)^```$",
    (ROOT / "docs" / "reference.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(
    "module",
    [
        "asgi_middleware",
        "asgi_middleware.django",
        "asgi_middleware.testing",
        "asgi_middleware.testing.django",
    ],
)
def test_the_reference_has_each_public_name_of_a_module_once(module: str) -> None:
    named = [
        name
        for section, lines in SECTIONS
        if section == module
        for name in re.findall(r"^\.\. auto\w+:: (\w+)$", lines, re.MULTILINE)
    ]

    assert sorted(named) == sorted(import_module(module).__all__)
