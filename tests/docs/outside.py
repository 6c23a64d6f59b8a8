"""A preprocessor of mdbook: links that leave docs/, such as ../CHANGELOG.md, lead to the repository, as the book has no such page."""

import json
import posixpath
import re
import sys

REPOSITORY = "https://github.com/nearside/nearside/blob/main/"
LINK = re.compile(r"(\]\()(\.\./[^)\s#]+)")


def rewrite(chapter):
    folder = posixpath.dirname("docs/" + (chapter["path"] or ""))

    def to_repository(match):
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        return match[0] if path.startswith("docs/") else match[1] + REPOSITORY + path

    chapter["content"] = LINK.sub(to_repository, chapter["content"])
    for item in chapter["sub_items"]:
        if "Chapter" in item:
            rewrite(item["Chapter"])


def main():
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    _, book = json.load(sys.stdin)
    for item in book.get("items", book.get("sections")):
        if "Chapter" in item:
            rewrite(item["Chapter"])
    json.dump(book, sys.stdout)


main()
