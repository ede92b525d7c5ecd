"""The pages of a report, each whole in itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xattr.cli._folder import PAGES, page_name, write_whole
from xattr.render import Explanation, PageHead, Skipped, Turn, page

PAGE_SIZE = 100


class Gallery:
    """Pages of a hundred records; a page is written when it is full.

    Pictures are embedded, so that a page can be sent to somebody as one file: ten
    megabytes or so with six methods. More photographs make more pages, and only one
    page's pictures are held in memory.

    Args:
      folder: where the pages go.
      head: what stands above; its summary on the first page only.
      total: how many records there will be.
      problems: places that were no records, listed on the first page.
    """

    def __init__(
        self,
        folder: Path,
        head: PageHead,
        total: int,
        problems: Sequence[Skipped] = (),
        *,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._folder, self._head, self._total = folder, head, total
        self._page_size, self._number = page_size, 1
        self._entries: list[Explanation] = []
        self._skipped: list[Skipped] = [*problems]
        self.num_done = self._start = 0

    @property
    def num_pages(self) -> int:
        """How many pages there will be."""
        return max(1, -(-self._total // self._page_size))

    def add(self, entry: Explanation | Skipped) -> None:
        """Put a record on the page; begin a new one before it if this is full."""
        if self.num_done - self._start == self._page_size:
            self._write(self._head)
            self._number, self._start = self._number + 1, self.num_done
            self._entries, self._skipped = [], []
        if isinstance(entry, Skipped):
            self._skipped.append(entry)
        else:
            self._entries.append(entry)
        self.num_done += 1

    def finish(self, notice: str = "") -> None:
        """Write the last page; `notice` if it was not to be the last."""
        self._write(replace(self._head, notice=notice) if notice else self._head)

    def _write(self, head: PageHead) -> None:
        """Write the current page."""
        head = replace(
            head,
            summary=head.summary if self._number == 1 else None,
            position=self._position(),
            turn=Turn(self._number, self.num_pages, page_name(1), PAGES),
        )
        text = page(head, self._entries, self._skipped)
        path = self._folder / page_name(self._number)
        write_whole(path, lambda file: file.write(text.encode()))

    def _position(self) -> str:
        """Which files the page shows."""
        if not self._start and self.num_done == self._total:
            noun = "file" if self._total == 1 else "files"
            return f"{self._total:,} {noun}"
        return f"files {self._start + 1:,} to {self.num_done:,} of {self._total:,}"
