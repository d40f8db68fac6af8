"""``blursynth datasets``: the data sets whose requests come with the library."""

from __future__ import annotations

from blursynth.cli import console

EPILOG = """\b
Examples:
  blursynth datasets
  blursynth build quickstart pairs/
"""


def command() -> None:
    """List the data sets that blursynth build can make."""
    from blursynth.dataset import dataset_names, load_request

    rows = []
    for name in dataset_names():
        request = load_request(name)
        pairs = sum(part.count or 0 for part in request.parts().values())
        rows.append((name, f"{pairs:,}", str(request.size_px), request.summary))
    console.table(("data set", "pairs", "px", "description"), rows, right=("pairs", "px"))
