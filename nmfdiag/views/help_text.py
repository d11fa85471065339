"""The *How to read it* text of every page, a Markdown file each."""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "help"


@cache
def help_text(name: str, **values: object) -> str:
    """Return the text of ``help/<name>.md`` with its placeholders filled in.

    >>> help_text("support").startswith("**Figure 1**")
    True
    """
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8").strip().format(**values)
