"""The page: one file, the numbers of the report, what they come from; in a browser where there is one."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cmad.config.load import load as load_config
from cmad.entries import entries
from cmad.paper import read_published
from cmad.report.blocks import Block, Heading, Notes, Printed
from cmad.report.content import content
from cmad.report.html import page
from cmad.report.load import Cells, load
from cmad.report.provenance import Origin, plain, provenance, used
from cmad.report.write import write_figures, write_tables
from stages import report as stage
from tests.project import ROOT
from tests.test_report import SEEDS, SYSTEM_ROWS, make_tree

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OURS = ("ours", "difference")
EMPTY_TAGS = {"meta", "link", "img", "br"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.children)

    def all(self, tag: str) -> Iterator["Element"]:
        """Elements of a kind inside this one, in their order."""
        for each in self.children:
            if isinstance(each, Element):
                if each.tag == tag:
                    yield each
                yield from each.all(tag)


class Tree(HTMLParser):
    """Refuses what a browser would mend in silence: tags that are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in EMPTY_TAGS:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(text: str) -> Element:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert len(tree.open) == 1
    return tree.open[0]


def ids(root: Element) -> list[str]:
    own = [root.attributes["id"]] if "id" in root.attributes else []
    return own + [i for each in root.children if isinstance(each, Element) for i in ids(each)]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    folder = tmp_path_factory.mktemp("runs")
    make_tree(folder, rows=SYSTEM_ROWS)
    return load(folder, "demo", SYSTEM_ROWS, SEEDS)


@pytest.fixture(scope="module")
def blocks(cells: Cells) -> tuple[Block, ...]:
    config = load_config(ROOT / "params.yaml")
    origin = Origin("abc123 + changes", config, {"demo": {"cmad": 61.25}}, {"teacher-demo": 7.5}, ("numpy",))
    return (*content([cells], 1), *provenance([cells], origin))


@pytest.fixture(scope="module")
def reports(cells: Cells, blocks: tuple[Block, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the reports with the page in it."""
    folder = tmp_path_factory.mktemp("reports")
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    write_figures(cells, folder / "figures")
    write_tables(cells, folder / "tables")
    (folder / "report.html").write_text(page("CMAD: report", blocks, folder / "figures"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def root(reports: Path) -> Element:
    return parsed((reports / "report.html").read_text(encoding="utf-8"))


def test_the_page_has_every_table_field_by_field(blocks: tuple[Block, ...], root: Element) -> None:
    grids = [block.grid for block in blocks if isinstance(block, Printed)]
    tables = list(root.all("table"))
    assert len(tables) == len(grids)
    for grid, table in zip(grids, tables, strict=True):
        rows = [[each for each in row.children if isinstance(each, Element)] for row in table.all("tr")]
        assert [[each.text for each in row] for row in rows[: len(grid.heads)]] == list(map(list, grid.heads))
        for line, row in zip(grid.lines, rows[len(grid.heads) :], strict=True):
            texts = ["".join(part.whole for part in each).replace("`", "") for each in line.fields]
            texts[grid.names - 1] += line.mark
            assert [each.text for each in row] == texts
            for each, cell in zip(line.fields, row, strict=True):
                best = "".join(part.whole for part in each if part.best)
                assert "".join(b.text for b in cell.all("b")) == best
    assert any(next(table.all("b"), None) for table in tables)


def test_numbers_are_there_with_their_digits(root: Element) -> None:
    table = next(each for each in root.all("div") if each.attributes.get("data-which") == "metric accuracy")
    assert table.attributes["data-csv"] == "tables/demo_combinations.csv"
    (row,) = (each for each in table.all("tr") if each.text.startswith("cmad8"))
    first = next(row.all("td"))
    assert (first.text, first.attributes) == ("80.0 ± 1.4", {"data-v": "0.8", "data-s": " ± 0.01414"})


def test_every_link_leads_somewhere(root: Element, reports: Path) -> None:
    known = ids(root)
    assert len(known) == len(set(known))
    inner = [each.attributes["href"] for each in root.all("a")]
    assert {each[1:] for each in inner if each.startswith("#")} <= set(known)
    files = {each for each in inner if each.startswith("tables/")}
    assert len(files) >= 6
    assert all((reports / each).exists() for each in files)
    assert {each for each in inner if not each.startswith(("#", "tables/", "plots/"))} == {
        "../docs/systems.md"
    }


def test_every_row_of_the_grid_leads_to_what_it_is(root: Element) -> None:
    targets = {f"#demo-row-{name}" for name in (*(row.name for row in SYSTEM_ROWS), "constant", "ceiling")}
    tables = [each for each in root.all("div") if each.attributes.get("data-which", "").startswith("metric")]
    found = [{a.attributes["href"] for a in table.all("a")} for table in tables]
    assert targets <= found[0]
    assert all(any(href.startswith("#demo-row-") for href in each) for each in found)
    lines = {row.attributes["id"]: row for row in root.all("tr") if "id" in row.attributes}
    assert set(lines) == {each[1:] for each in targets}
    texts = [each.text for each in lines["demo-row-cmad_w"].all("td")]
    assert texts[:3] == ["method cmad", "weights: weakest", "student@demo-cmad_w"]
    texts = [each.text for each in lines["demo-row-umdf_customised"].all("td")]
    assert texts[0] == "UMDF, one model for each combination"
    assert texts[2] == "customised@demo-umdf"
    assert [each.text for each in lines["demo-row-cmad"].all("td")][-1] == "61.2"


def test_contents_name_every_section(blocks: tuple[Block, ...], root: Element) -> None:
    headings = [block.text for block in blocks if isinstance(block, Heading) and block.level > 1]
    (contents,) = root.all("nav")
    assert [each.text for each in contents.all("a")] == headings
    assert [each.text for level in ("h2", "h3") for each in root.all(level)] != []


def test_marks_have_their_footnotes(blocks: tuple[Block, ...], root: Element) -> None:
    (notes,) = (block for block in blocks if isinstance(block, Notes))
    (shown,) = (each for each in root.all("p") if each.attributes.get("class") == "notes")
    assert shown.text == "".join(notes.lines).replace("`", "")


def test_nothing_is_outside_the_file(reports: Path) -> None:
    text = (reports / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'src="(\w+):', text)) == {"data"}
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert len(text) < 1_000_000


def test_the_page_says_what_differs_from_run_to_run(root: Element) -> None:
    for said in (
        "abc123 + changes",
        "numpy",
        "Python",
        "processor of this machine",
        "teacher-demo",
        "none, the data",
    ):
        assert said in root.text


def test_text_is_escaped(tmp_path: Path) -> None:
    text = page("<t>", [Heading(1, "a < b"), "`<script>` & more"], tmp_path)
    assert "<title>&lt;t&gt;</title>" in text
    assert '<h1 id="a-b">a &lt; b</h1>' in text
    assert "<p><code>&lt;script&gt;</code> &amp; more</p>" in text


def test_used_params_are_those_of_the_grid(cells: Cells) -> None:
    config = load_config(ROOT / "params.yaml")
    found = used([cells], config)
    assert set(found["definitions"]) == {row.name for row in SYSTEM_ROWS if row.system is None}
    assert set(found["presets"]) == {"demo"}
    assert found["presets"]["demo"]["student"]["optimiser"]["learning_rate"] == (
        config.presets["demo"].student.optimiser.learning_rate
    )
    assert json.loads(json.dumps(plain(config)))["threads"] == config.threads


def test_the_libraries_stated_are_those_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["text"]]
    assert set(stage._LIBRARIES) == {re.split(r"[<>=]", each)[0] for each in wanted}


def test_revision_names_changes_of_code_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert stage._revision() == "unknown"
    (tmp_path / "params.yaml").write_text("a: 1\n")
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], check=True)
    clean = stage._revision()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (tmp_path / "notes.txt").write_text("new")
    assert stage._revision() == clean
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert stage._revision() == f"{clean} + changes"


# In a browser

browser = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")

DRIVER = (ROOT / "tests/driver.js").read_text(encoding="utf-8")


def run_browser(page_file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    home = page_file.parent / "profile"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"]
    command += ["--disable-dev-shm-usage", "--disable-background-networking", "--enable-logging=stderr"]
    return subprocess.run(
        [*command, *options, page_file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOME": str(home)},
        check=True,
    )


def driven(folder: Path, text: str, *options: str) -> tuple[dict[str, object], list[str]]:
    """What the driver found, and the lines of the console."""
    folder.mkdir(exist_ok=True)
    copy = folder / "driven.html"
    copy.write_text(text.replace("</body>", f"<script>{DRIVER}</script></body>"), encoding="utf-8")
    done = run_browser(copy, "--virtual-time-budget=10000", "--dump-dom", *options)
    (found,) = re.findall(r"<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
    result: dict[str, object] = json.loads(
        found.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
    )
    return result, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@browser
def test_in_a_browser(reports: Path, tmp_path: Path) -> None:
    text = (reports / "report.html").read_text(encoding="utf-8")
    result, console = driven(tmp_path, text, "--window-size=500,800")
    assert console == []
    assert (result["fetched"], result["refused"], result["images"]) == ([], [], True)
    assert result["focus"] is True
    assert result["wide"] is False, "wide tables scroll by themselves"
    numbers = result["numbers"]
    assert isinstance(numbers, list)
    assert [order for order, _ in numbers] == [None, "descending", "ascending", None]
    start, down, up, again = (values for _, values in numbers)
    assert again == start
    as_numbers = [[float(each.split()[0]) for each in values] for values in (down, up)]
    assert as_numbers[0] == sorted(as_numbers[0], reverse=True)
    assert as_numbers[1] == sorted(as_numbers[1])
    assert start not in (down, up)
    names = result["names"]
    assert isinstance(names, list)
    assert names[1] == ["ascending", sorted(names[0][1], key=str.lower)]
    first = SYSTEM_ROWS[0].name
    origin = result["origin"]
    assert isinstance(origin, list)
    assert origin[0].startswith(f"{first}*, L: 0.75 ± 0.01414 (metric accuracy)")
    assert result["links"] == ["tables/demo_combinations.csv", f"#demo-row-{first}"]
    assert result["closed"] is True


@browser
def test_paper_ours_and_difference_are_sorted_as_one(tmp_path: Path) -> None:
    make_tree(tmp_path, "mosei", data_format="folder", rows=SYSTEM_ROWS)
    (tmp_path / "figures").mkdir()
    mosei = load(tmp_path, "mosei", SYSTEM_ROWS, SEEDS)
    write_figures(mosei, tmp_path / "figures")
    blocks = content([mosei], 1, read_published(ROOT / "data/paper"))
    result, console = driven(tmp_path, page("mosei", blocks, tmp_path / "figures"))
    assert console == []
    groups = result["groups"]
    assert isinstance(groups, list)
    names, values = groups
    threes = [names[i : i + 3] for i in range(0, len(names), 3)]
    assert len(threes) > 3
    kinds = [[each.split(", ")[1].strip("*†‡?") for each in three] for three in threes]
    assert all(each in (["paper", *OURS], ["quoted", *OURS]) for each in kinds)
    assert all(len({each.split(", ")[0] for each in three}) == 1 for three in threes)
    # Accuracy and F1 of the same field follow each other without a space.
    printed = [float(each[:4]) for each in values[::3]]
    assert printed == sorted(printed, reverse=True)
    assert len(set(printed)) > 1


@browser
def test_the_browser_would_tell(reports: Path, tmp_path: Path) -> None:
    text = (reports / "report.html").read_text(encoding="utf-8")
    image = 'addEventListener("DOMContentLoaded", () => { new Image().src = "http://127.0.0.1:9/x.png"; });'
    broken = f"<main><script>nowhere();</script><script>{image}</script>"
    _, console = driven(tmp_path, text.replace("<main>", broken))
    assert any("nowhere is not defined" in line for line in console)
    assert any("127.0.0.1" in line for line in console)


@browser
def test_the_page_prints(reports: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report.html"
    shutil.copy(reports / "report.html", copy)
    run_browser(copy, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes())
    assert len(pages) > 5


def test_without_rows_that_anybody_described(tmp_path: Path) -> None:
    make_tree(tmp_path, "demo_classes", "classes", data_format="folder")
    rows = entries(("tea", "dropout", "cmad"), (), ())
    config = load_config(ROOT / "params.yaml")
    of = [load(tmp_path, "demo_classes", rows, SEEDS)]
    blocks = provenance(of, Origin("unknown", config, {"demo_classes": {}}, {}, ()))
    text = page("t", blocks, tmp_path)
    assert "demo_classes-row-ceiling" not in text
    assert "demo_classes-row-constant" in text


def test_rows_of_the_second_grid_have_its_stages(tmp_path: Path) -> None:
    make_tree(tmp_path)
    rows = entries(("tea", "dropout", "cmad"), (), ())
    config = load_config(ROOT / "params.yaml")
    of = [load(tmp_path, "demo", rows, SEEDS, suffix="_also")]
    text = page("t", provenance(of, Origin("unknown", config, {"demo": {}}, {}, ())), tmp_path)
    assert {"student_also@demo-cmad", "evaluate_also@demo"} <= set(re.findall(r"\w+@[\w-]+", text))
    assert not re.search(r"(student|evaluate)@", text)
