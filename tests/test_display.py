"""Plans as text and HTML: nothing that comes from the data gets out of its cell."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad.display import Table, html, size, text

EVIL = "<img src=x onerror=alert(1)>\x1b[2J\u202e\"'&\n\x00\x9b\u2066"
X = np.arange(5.0)


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        assert all(key == "style" for key, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def evil() -> xr.Dataset:
    return xr.Dataset(
        {
            EVIL: ((EVIL + "x", "y"), np.zeros((5, 3)), {"units": EVIL, "long_name": EVIL}),
            EVIL + "words": ("y", list("abc"), {}),
        },
        coords={EVIL + "x": (EVIL + "x", X, {"units": EVIL, "standard_name": EVIL})},
        attrs={"title": EVIL},
    )


def unsafe(shown: str) -> list[str]:
    return [c for c in shown if not c.isprintable() and c != "\n"]


@pytest.mark.filterwarnings("ignore::xgrad.UnitsWarning")
def test_text_and_html_of_untrusted_names_and_units() -> None:
    ds = evil()
    tree = xr.DataTree.from_dict({"/a<b>\x1b": ds})
    for shown in (ds.grad, ds[EVIL].grad, tree.grad, xgrad.plan(ds), xgrad.plan(ds[EVIL]), xgrad.plan(tree)):
        assert not unsafe(repr(shown))
        page = shown._repr_html_()
        assert not unsafe(page)
        reader = read(page)
        assert set(reader.tags) <= {
            *("div", "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"),
        }
        assert "<img src=x onerror=alert(1)>" in reader.text  # shown as it is, not obeyed


@pytest.mark.filterwarnings("ignore::xgrad.UnitsWarning")
def test_errors_and_attributes_of_untrusted_names() -> None:
    ds = evil()
    for name, value in xgrad.compute(ds, EVIL + "x").items():
        assert not unsafe(str(name))
        for key in ("long_name", "comment"):
            assert not unsafe(value.attrs[key])
    calls = [
        lambda: xgrad.compute(ds, EVIL),
        lambda: xgrad.compute(ds, "y"),
        lambda: xgrad.compute(ds[EVIL].isel({EVIL + "x": [0, 1]}), EVIL + "x"),
        lambda: xgrad.compute(ds[[EVIL + "words"]]),
        lambda: xgrad.compute(ds, EVIL + "x", names={EVIL + "x": EVIL}),
        lambda: xgrad.compute(ds, EVIL + "x", spacing={EVIL: 1.0}),
        lambda: xgrad.compute(ds, EVIL + "x", periodic=EVIL),
        lambda: xgrad.compute(ds, EVIL + "x", datetime_unit=EVIL),
        lambda: xgrad.derivative(ds[EVIL], {EVIL: 1}),
        lambda: xgrad.derivative(ds[EVIL], {EVIL + "x": 9}),
        lambda: xgrad.compute(ds[EVIL].assign_coords({EVIL + "x": [0.0, 1, 1, 2, 3]}), EVIL + "x"),
        lambda: xgrad.compute(xr.DataTree.from_dict({"/a\x1b[2J": ds.isel({EVIL + "x": [0]})}), EVIL + "x"),
    ]
    for call in calls:
        with pytest.raises(xgrad.XgradError) as caught:
            call()
        assert not [c for c in str(caught.value) if not c.isprintable()], str(caught.value)


def test_columns_without_content_are_left_out_and_cells_aligned() -> None:
    rows = [{"a": "1", "empty": "", "b": "long"}, {"a": "22", "empty": "", "b": ""}]
    assert text([Table("title", rows, ["note"])], [("v", "why")]) == (
        "title\n  a   b\n  1   long\n  22\n  (note)\nleft out: v: why"
    )
    reader = read(html([Table("title", rows, ["note"])], [("v", "why")]))
    assert reader.tags.count("td") == 4
    assert reader.tags.count("th") == 2
    assert "empty" not in reader.text
    assert text([Table("title", [])], []) == "title"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (2.5e9, "2.5 GB"),
        (7e15, "7e+03 TB"),
    ],
)
def test_sizes(count: float, words: str) -> None:
    assert size(count) == words
