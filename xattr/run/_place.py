"""A folder or a bucket as named bytes, each written whole or not at all."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorstore as ts


class Place:
    """Named bytes in a local folder or in a bucket.

    A write replaces what was there at once: whoever reads finds the old bytes or the
    new, whatever is killed meanwhile, and when `write` returns they outlast a power cut
    as far as the system lets them.

    Args:
      address: a path, or an address that TensorStore opens: `gs://…`, `s3://…`.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        import tensorstore as ts

        self.address = os.fspath(address).removeprefix("file://")
        self.is_local = "://" not in self.address
        self._context = ts.Context()
        self._store = ts.KvStore.open(self._spec(), context=self._context).result()

    def __str__(self) -> str:
        """The address as it was given."""
        return self.address

    def array(
        self, part: str, metadata: Mapping[str, Any] | None = None
    ) -> "ts.TensorStore":
        """A Zarr array inside; with `metadata` it is made if it is not there."""
        import tensorstore as ts

        spec = {"driver": "zarr3", "kvstore": self._spec(part)}
        if metadata is not None:
            # A chunk that is all of the fill value is there like any other.
            spec |= {"metadata": metadata, "store_data_equal_to_fill_value": True}
        make = metadata is not None
        with storage_errors(self):
            return ts.open(spec, open=True, create=make, context=self._context).result()

    def names(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, sorted."""
        import tensorstore as ts

        low = prefix.encode()
        with storage_errors(self):
            keys = self._store.list(ts.KvStore.KeyRange(low, low + b"\xff")).result()
        return sorted(key.decode() for key in keys)

    def read(self, name: str) -> bytes | None:
        """The bytes, or None where there are none."""
        return self.read_with_state(name)[0]

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of those names that there are, read side by side."""
        with storage_errors(self):
            futures = {name: self._store.read(name) for name in names}
            results = {name: future.result() for name, future in futures.items()}
        return {n: bytes(r.value) for n, r in results.items() if r.state == "value"}

    def read_with_state(self, name: str) -> tuple[bytes | None, bytes]:
        """The bytes, and what tells whether they have changed since."""
        with storage_errors(self):
            result = self._store.read(name).result()
        value = bytes(result.value) if result.state == "value" else None
        return value, result.stamp.generation

    def write(self, name: str, value: bytes) -> None:
        """Replace, or make."""
        with storage_errors(self):
            self._store.write(name, value).result()

    def write_if(self, name: str, value: bytes | None, state: bytes) -> bytes:
        """Replace or remove unless it has changed; the new state, empty if it has."""
        with storage_errors(self):
            stamp = self._store.write(name, value, if_equal=state).result()
        return stamp.generation

    def remove(self, name: str) -> None:
        """Remove what there is under a name."""
        with storage_errors(self):
            self._store.write(name, None).result()

    def remove_all(self, prefix: str) -> None:
        """Remove every name that begins with `prefix`."""
        import tensorstore as ts

        low = prefix.encode()
        with storage_errors(self):
            self._store.delete_range(ts.KvStore.KeyRange(low, low + b"\xff")).result()

    def _spec(self, part: str = "") -> dict[str, str] | str:
        """What TensorStore opens a folder inside by."""
        if self.is_local:
            path = os.path.join(os.path.abspath(self.address), part)
            return {"driver": "file", "path": os.path.join(path, "")}
        return f"{self.address.rstrip('/')}/{part and part + '/'}"


@contextmanager
def storage_errors(place: Place) -> Iterator[None]:
    """Raise what TensorStore says of the storage as the `OSError` that it is."""
    try:
        yield
    except ValueError as error:  # TensorStore has no kind of its own
        raise OSError(f"{place}: {error}") from error
