"""What the documentation says is so: pages, links, commands, tables and examples."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain import __version__, cli, exit_codes
from toolchain.conversion import METHODS
from toolchain.engine import ENGINES, NETWORK_FILES
from toolchain.ir.graph import Phase
from toolchain.ir.verify import ALLOWED
from toolchain.mapping import MAPPINGS
from toolchain.ops import IMPORTERS
from toolchain.reporting.pages import PAGES
from toolchain.rewriting import PASSES, order_of
from toolchain.target import FORMATS, TARGETS
from toolchain.training.command import main as train

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
REGISTRIES = (IMPORTERS, PASSES, METHODS, MAPPINGS, TARGETS, FORMATS, ENGINES, NETWORK_FILES)
ARCHITECTURE = "docs/architecture.md"


def names_of(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def links_of(path):
    """Return what the relative links of a page point to, as path and anchor."""
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    return [link.partition("#")[::2] for link in links if "://" not in link]


def anchors_of(path):
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def code_lines(path):
    """Return the lines of code of a page, indented or fenced, without Python blocks."""
    text = re.sub(r"```python.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    fenced = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    indented = "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE))
    return [line.strip() for line in (fenced + "\n" + indented).splitlines()]


def commands_of(path):
    """Return the arguments of every ``snn-compile`` line of a page."""
    found = [re.match(r"(?:uv run )?snn-compile (.*)", line) for line in code_lines(path)]
    return [shlex.split(match[1], comments=True) for match in found if match]


def table_of(name, heading):
    """Return the first cells of the tables below a heading, up to the next heading."""
    section = re.split(r"^#+ ", text_of(name).split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith("|--")
    ][1:]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_code_is_what_the_code_makes(name, request):
    page = DOCS / name
    if request.config.getoption("--update-golden"):
        page.write_text(PAGES[name](), encoding="utf-8")

    assert PAGES[name]() == page.read_text(encoding="utf-8"), (
        "out of date; write it anew with: python -m toolchain.reporting.pages"
    )


@pytest.mark.parametrize("name", names_of(WRITTEN))
def test_every_link_leads_somewhere(name):
    page = ROOT / name
    for target, anchor in links_of(page):
        to = (page.parent / target).resolve() if target else page

        assert to.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors_of(to), f"{target} has no heading {anchor}"


def test_every_page_is_reached_from_the_index():
    reached, open_ends = set(), [DOCS / "index.md"]
    while open_ends:
        page = open_ends.pop()
        reached.add(page)
        pages = {(page.parent / target).resolve() for target, _ in links_of(page) if target}
        open_ends.extend(p for p in pages - reached if p.suffix == ".md" and p.exists())

    assert names_of(set(DOCS.rglob("*.md")) - reached) == []


def test_every_page_that_the_code_names_exists():
    sources = [*ROOT.glob("toolchain/**/*.py"), *ROOT.glob("targets/**/*.py")]
    named = {name for p in sources for name in re.findall(r"docs/[\w/-]+\.md", p.read_text())}

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", names_of(p for p in WRITTEN if commands_of(p)))
def test_every_command_parses(name):
    for words in commands_of(ROOT / name):
        cli._understood(words)
        files = [word for word in words if word.startswith("models/")]
        assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("name", names_of(WRITTEN))
def test_every_option_that_is_mentioned_exists(name, capsys):
    helps = [(cli.main, [name, "--help"]) for name in cli.COMMANDS]
    for main, words in ((cli.main, ["--help"]), *helps, (train, ["-h"])):
        with pytest.raises(SystemExit):
            main(words)
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))

    spans = re.findall(r"`(snn-[^`]*|--[^`]*)`", text_of(name))
    mentioned = {option for span in spans for option in re.findall(r"--[a-z-]+", span)}
    assert mentioned <= known


def test_the_commands_of_the_readme_are_those_of_the_continuous_integration():
    readme = [line for line in code_lines(ROOT / "README.md") if line.startswith("uv run ")]
    ran = [line for line in text_of(".ci/run").splitlines() if line and line[0] not in "#\t "]

    assert readme[:2] == [readme[0], ran[-1]]
    assert readme[0] in ran
    assert ran[-1].startswith("uv run pytest")


def test_the_architecture_lists_the_passes_in_their_order():
    listed = [(phase, name.strip("`")) for phase, name, _ in table_of(ARCHITECTURE, "Passes")]

    assert listed == [(phase.name, step.name) for phase in Phase for step in order_of(phase)]


def test_the_architecture_lists_all_registries():
    listed = {
        (kind, package.strip("`"))
        for _, kind, package, _ in table_of(ARCHITECTURE, "Registries")
    }

    assert listed == {(registry.kind, registry.package) for registry in REGISTRIES}


def test_the_architecture_lists_all_primitives():
    cells = [row[0] for row in table_of(ARCHITECTURE, "Graph")]
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    assert listed == {kind.__name__ for kinds in ALLOWED.values() for kind in kinds}


def test_the_architecture_lists_all_engines():
    listed = [row[0].strip("`") for row in table_of(ARCHITECTURE, "Engines")]

    assert sorted(listed) == list(ENGINES)


def test_the_exit_codes_are_those_of_the_command():
    listed = [
        int(code) for code in re.findall(r"^\| (\d+) \|", text_of("docs/report.md"), re.M)
    ]

    known = [code for code in vars(exit_codes).values() if isinstance(code, int)]
    assert listed == known


def test_the_changelog_has_this_version_first_and_only_the_five_headings():
    text = text_of("docs/changelog.md")
    versions = re.findall(r"^## (\S+)", text, re.MULTILINE)
    headings = re.findall(r"^### (.*)", text, re.MULTILINE)

    assert versions[0] == __version__
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed"}


def test_decisions_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "decisions").glob("*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the files of the examples in it."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("toolchain", "targets", "models/digits_mlp"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in example_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (folder / name).exists(), f"{name} exists: the page needs another example"
        (folder / name).write_text(example_files()[name], encoding="utf-8")
    return folder


def example_files():
    pages = [text_of("docs/adding-an-operator.md"), text_of("docs/adding-a-target.md")]
    blocks = (re.findall(r'```python title="([^"]+)"\n(.*?)```', p, re.DOTALL) for p in pages)
    return dict(itertools.chain.from_iterable(blocks))


def run_in(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_of_an_operator_passes_its_test(project):
    (test,) = [name for name in example_files() if name.startswith("tests/")]

    run = run_in(project, "-m", "pytest", "-p", "no:cacheprovider", "-q", test)

    assert run.returncode == 0, run.stdout + run.stderr


def test_the_example_of_a_target_compiles_the_bundled_network(project):
    (words,) = commands_of(DOCS / "adding-a-target.md")
    start = "from toolchain.cli import main; raise SystemExit(main())"

    run = run_in(project, "-c", start, *words)

    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((project / "build/digits_mlp-pocket/report.json").read_text())
    last = report["ladder"][-1]
    assert (last["rung"], last["promise"], last["status"]) == ("archive", "exact", "ok")
    assert report["method"] == "three-sigma"
    unexplained = [key for key in report if f"`{key}`" not in text_of("docs/report.md")]
    assert unexplained == []


@pytest.mark.parametrize("words", [("check",), ("format", "--check")])
def test_the_examples_pass_the_linter(project, words):
    run = run_in(project, "-m", "ruff", *words, "--no-cache", *example_files())

    assert run.returncode == 0, run.stdout + run.stderr
