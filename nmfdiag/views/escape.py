"""Text from outside on its way to a page: links, names of files, classes, layers and runs, keys of logs, messages. The one place that escapes it."""

import html
import re

from nmfdiag.errors import printable

SPECIAL = re.compile(r"([\\`*\[\]<>$~]|^[#+-]|(?<!\w)_|_(?!\w)|!(?=\[)|&(?=[#\w]))")
LINK_SIGNS = re.compile(r"(:(?=\S)|@|www(?=\.))", re.IGNORECASE)
"""By these GitHub's Markdown makes links of ``https://...``, ``www...`` and addresses, and Streamlit signs of ``:name:``, escaped or not."""
JOINER = "\u2060"
"""Takes no room, and is no part of a link."""


def for_markdown(text: str) -> str:
    r"""Text that Markdown shows as it is; what a terminal would obey, or turns the direction of writing, is written out.

    >>> print(for_markdown("![x](y) **b** a_b"))
    \!\[x\](y) \*\*b\*\* a_b
    >>> "https://" in for_markdown("https://a.example"), "www." in for_markdown("www.a.example")
    (False, False)
    """
    return LINK_SIGNS.sub(rf"\1{JOINER}", SPECIAL.sub(r"\\\1", printable(text)))


def for_code(text: str) -> str:
    r"""Text within back-ticks, which Markdown shows as it is.

    >>> print(for_code("a`b"))
    `ab`
    """
    return f"`{printable(text).replace('`', '')}`"


def for_plot(text: str) -> str:
    """Text that Plotly shows as it is: it reads some HTML, and ``%{...}`` in what hovers."""
    return html.escape(printable(text), quote=False).replace("{", "&#123;")
