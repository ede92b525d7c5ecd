"""The pages of a run, each whole in itself."""

from collections.abc import Sequence
from pathlib import Path

from xattr.cli._folder import write_whole
from xattr.render import Explanation, PageHead, Skipped, page

PAGE_SIZE = 100


class Gallery:
    """Pages of about a hundred photographs; a page is written when it is full.

    Pictures are embedded, so that a page can be sent to somebody as one file: ten
    megabytes or so with six methods. More photographs make more pages, and only one
    page's pictures are held in memory.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        methods: Sequence[str],
        total: int,
        facts: Sequence[tuple[str, str]],
        *,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._folder, self._model, self._methods = folder, model, methods
        self._total, self._facts, self._page_size = total, facts, page_size
        self._number, self._start, self._done = 1, 0, 0
        self._entries: list[Explanation] = []
        self._skipped: list[Skipped] = []

    def add(self, entry: Explanation) -> None:
        """Put a photograph on the page."""
        self._entries.append(entry)

    def skip(self, name: str, reason: str) -> None:
        """List a file without an explanation on the page."""
        self._skipped.append(Skipped(name, reason))

    def turn(self, count: int) -> None:
        """Note that `count` more files are done; begin a new page if this is full."""
        self._done += count
        if self._done - self._start >= self._page_size and self._done < self._total:
            self._write(next_page=_address(self._number + 1), notice="")
            self._number, self._start = self._number + 1, self._done
            self._entries, self._skipped = [], []

    def finish(self, notice: str) -> None:
        """Write the page that is not full."""
        self._write(next_page="", notice=notice)

    def _write(self, *, next_page: str, notice: str) -> None:
        """Write the current page."""
        head = PageHead(
            model=self._model,
            methods=self._methods,
            facts=self._facts,
            notice=notice,
            previous=_address(self._number - 1) if self._number > 1 else "",
            next=next_page,
            position=self._position(),
        )
        text = page(head, self._entries, self._skipped)
        path = self._folder / _address(self._number)
        write_whole(path, lambda file: file.write(text.encode()))

    def _position(self) -> str:
        """Which files the page shows."""
        if not self._start and self._done == self._total:
            noun = "file" if self._total == 1 else "files"
            return f"{self._total:,} {noun}"
        return f"files {self._start + 1:,} to {self._done:,} of {self._total:,}"


def _address(number: int) -> str:
    """File name of a page."""
    return "index.html" if number == 1 else f"index-{number}.html"
