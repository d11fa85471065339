"""Text that every room may use: lists, plurals, spans, times and sizes in words, and the one place that escapes text from outside.

Text from outside is links, names of files, classes, layers and runs, keys of logs, and messages.
"""

import html
import re
from collections.abc import Iterable, Sequence

from nmfdiag.errors import printable

SPECIAL = re.compile(r"([\\`*\[\]<>$~]|^[#+-]|(?<!\w)_|_(?!\w)|!(?=\[)|&(?=[#\w]))")
LINK_SIGNS = re.compile(r"(:(?=\S)|@|www(?=\.))", re.IGNORECASE)
"""By these GitHub's Markdown makes links of ``https://...``, ``www...`` and addresses, and Streamlit signs of ``:name:``, escaped or not."""
ESTIMATE_FACTOR = 2.0
"""Factor by which the pre-flight's estimate of a diagnosis may be out, in either direction: it held for 19 of the 20 networks of
``benchmarks/foreign/estimate.py``, by processor time with one thread; the part for the labels was tuned on eight of them."""
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


def join(parts: Iterable[object], word: str = "and") -> str:
    """Return a list in words, empty for none.

    >>> join(["conv1", "conv2", "fc"]), join([1, 2], "or"), join(["conv1"])
    ('conv1, conv2 and fc', '1 or 2', 'conv1')
    """
    *first, last = [str(part) for part in parts] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


def plural(n: int, noun: str, nouns: str = "") -> str:
    """Return a number and its noun.

    >>> plural(1, "layer"), plural(1200, "layer"), plural(2, "class", "classes")
    ('1 layer', '1,200 layers', '2 classes')
    """
    return f"{n:,} {noun if n == 1 else nouns or f'{noun}s'}"


def span(parts: Sequence[object]) -> str:
    """Return the ends of a sequence, or the one part that both ends are.

    >>> span(["conv1_2", "conv2_1", "conv2_2"]), span(["fc"]), span([3, 3])
    ('conv1_2 to conv2_2', 'fc', '3')
    """
    return str(parts[0]) if parts[0] == parts[-1] else f"{parts[0]} to {parts[-1]}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with a typographic minus; zero has no sign.

    >>> signed(-0.256), signed(0.5), signed(-0.001)
    ('−0.26', '0.50', '0.00')
    """
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """Return a share in per cent.

    >>> percent(0.123), percent(0.012), percent(1.0)
    ('12 %', '1.2 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def label_kind(label_noise: float) -> str:
    """Return what a network of this p was trained on.

    >>> label_kind(0.0), label_kind(0.6), label_kind(1.0)
    ('clean labels', '60 % random labels', 'random labels')
    """
    p = f"{label_noise:g}"  # "?" where it is unknown
    if p == "?":
        return "labels of unknown quality"
    return {"0": "clean labels", "1": "random labels"}.get(p, f"{percent(label_noise)} random labels")


def label_text(label_noise: float) -> str:
    """Return what a network of this p was trained on, and p where it is known.

    >>> label_text(0.6)
    '60 % random labels (p = 0.6)'
    """
    p = f"{label_noise:g}"
    return label_kind(label_noise) if p == "?" else f"{label_kind(label_noise)} (p = {p})"


def class_name(class_idx: int, names: Sequence[str]) -> str:
    """Return a class's name if it has one, else its number.

    >>> class_name(1, ("cat", "dog")), class_name(7, ("cat", "dog"))
    ('dog', '7')
    """
    return str(names[class_idx]) if 0 <= class_idx < len(names) else str(class_idx)


def seconds_text(seconds: float) -> str:
    """Return a measured time with two or three digits.

    >>> seconds_text(0.0083), seconds_text(0.28), seconds_text(125)
    ('8.3 ms', '0.28 s', '125 s')
    """
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:,.0f} s"


def estimated_time(seconds: float) -> str:
    """Return a time that is only estimated.

    >>> estimated_time(3.2), estimated_time(47), estimated_time(600), estimated_time(9000)
    ('about 3 s', 'about 50 s', 'about 10 min', 'about 2.5 h')
    """
    return f"about {' '.join(_rounded_time(seconds))}"


def estimated_range(seconds: float) -> str:
    """Return the range of a time that was estimated before it was spent: right within :data:`ESTIMATE_FACTOR`.

    >>> estimated_range(6), estimated_range(60), estimated_range(600), estimated_range(9000), estimated_range(0.1)
    ('about 3 to 12 s', 'about 30 s to 2 min', 'about 5 to 20 min', 'about 75 min to 5.0 h', 'about 1 s')
    """
    (low, low_unit), (high, high_unit) = (
        _rounded_time(seconds / ESTIMATE_FACTOR),
        _rounded_time(seconds * ESTIMATE_FACTOR),
    )
    if low_unit != high_unit:
        return f"about {low} {low_unit} to {high} {high_unit}"
    return f"about {span([low, high])} {high_unit}"


def _rounded_time(seconds: float) -> tuple[str, str]:
    """Return a time with one or two digits, and its unit."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds > 20 else 0)):.0f}", "s"
    return (f"{seconds / 60:.0f}", "min") if seconds < 5400 else (f"{seconds / 3600:.1f}", "h")


def estimated_size(n_bytes: float) -> str:
    """Return a size in bytes that is only estimated.

    >>> estimated_size(2000), estimated_size(5e7), estimated_size(3e9)
    ('under 1 MiB', '48 MiB', '2.8 GiB')
    """
    if n_bytes < 2**20:
        return "under 1 MiB"
    return f"{n_bytes / 2**20:.0f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"
