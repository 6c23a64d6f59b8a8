"""Checks the documents without a network: links between files, anchors, images, and the table of contents.

    tests/docs/check.py [TARGET/BOOK]

- Every relative link of a tracked Markdown file leads to a file or folder of the repository, and every anchor to a heading.
- docs/SUMMARY.md names every page below docs/ once.
- Every image in docs/images is shown somewhere.
- With the folder of a built book: every link of its pages leads to a file there, and every anchor to an element.
"""

import html.parser
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^\s*(```|~~~)")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")


def tracked(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).exists()]


def outside_of_code(text):
    """The lines with their numbers that are no code block."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def anchors_of(text):
    """The anchors of a file's headings, as GitHub makes them."""
    found = set()
    for _, line in outside_of_code(text):
        if heading := HEADING.match(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2]).replace("`", "").replace("*", "")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            name, copies = slug, 0
            while name in found:
                copies += 1
                name = f"{slug}-{copies}"
            found.add(name)
        found.update(re.findall(r'<a (?:id|name)="([^"]+)"', line))
    return found


def links_of(text):
    for number, line in outside_of_code(text):
        for target in LINK.findall(re.sub(r"`[^`]*`", "", line)) + re.findall(r'(?:src|srcset|href)="([^"]+)"', line):
            yield number, target


def is_elsewhere(target):
    return urllib.parse.urlsplit(target).scheme != "" or target.startswith("//")


def faults_of_links(pages):
    anchors = {page: anchors_of(page.read_text()) for page in pages}
    shown = set()
    for page in pages:
        for number, target in links_of(page.read_text()):
            if is_elsewhere(target):
                continue
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            file = (page.parent / path).resolve() if path else page
            shown.add(file)
            where = f"{page.relative_to(ROOT)}:{number}: {target}"
            if not file.exists():
                yield f"{where} leads nowhere"
            elif anchor and file.suffix == ".md" and anchor not in anchors.get(file, anchors_of(file.read_text())):
                yield f"{where}: no heading has this anchor"
    for image in tracked("docs/images"):
        if image not in shown:
            yield f"{image.relative_to(ROOT)} is shown nowhere"


def faults_of_summary():
    summary = ROOT / "docs/SUMMARY.md"
    named = [(summary.parent / target).resolve() for _, target in links_of(summary.read_text())]
    for page in sorted(set(named)):
        if named.count(page) > 1:
            yield f"docs/SUMMARY.md names {page.relative_to(ROOT)} twice"
    for page in tracked("docs/*.md", "docs/**/*.md"):
        if page != summary and page not in named:
            yield f"docs/SUMMARY.md does not name {page.relative_to(ROOT)}: add it where a reader looks for it"


class Page(html.parser.HTMLParser):
    """The links and the ids of a page of the book."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)


def faults_of_book(book):
    # print.html is all pages in one, with anchors of its own.
    files = {file: Page(file.read_text()) for file in book.rglob("*.html") if file.name not in ("print.html", "toc.html", "404.html")}
    if len(files) < 10:
        yield f"{book} has only {len(files)} pages"
    for file, page in files.items():
        for target in page.links:
            path, _, anchor = urllib.parse.unquote(target.split("?")[0]).partition("#")
            if is_elsewhere(target):
                continue
            goal = (file.parent / path).resolve() if path else file
            if not goal.exists():
                yield f"{file.relative_to(book)}: {target} leads nowhere"
            elif anchor and goal in files and anchor not in files[goal].ids:
                yield f"{file.relative_to(book)}: {target}: nothing has this anchor"


def main():
    pages = tracked("*.md")
    faults = [*faults_of_links(pages), *faults_of_summary()]
    if len(sys.argv) > 1:
        faults += faults_of_book(pathlib.Path(sys.argv[1]).resolve())
    for fault in faults:
        print(fault)
    print(f"{len(pages)} documents, {sum(len(list(links_of(page.read_text()))) for page in pages)} links, {len(faults)} faults")
    sys.exit(1 if faults else 0)


main()
