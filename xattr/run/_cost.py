"""What a run of any size takes: which stage limits it, how long, how much, what price.

A run reads, decodes, feeds devices, computes and writes at once, so that the slowest
stage sets the pace. Shares of a run need nothing of one another: each stage grows with
the number of hosts, but for storage that all of them read and write.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What one image takes.

    Attributes:
      operations: floating-point operations of its maps.
      read_bytes: of the encoded image.
      written_bytes: of its maps and its row, as often as they are written: staged,
        then committed.
      stored_bytes: of what stays, compressed.
    """

    operations: float
    read_bytes: float
    written_bytes: float
    stored_bytes: float


@dataclass(frozen=True)
class Host:
    """What one host brings.

    Attributes:
      accelerators: how many it has.
      peak: floating-point operations per second of one of them, at best.
      reached: share of the peak that a method reaches.
      price: of an accelerator for an hour, its part of the host included.
      cores: that decode.
      decoded: images per second that a core decodes and resizes.
      fed: images per second that it hands from those cores to its accelerators.
      read_bandwidth: bytes per second that it reads from the storage.
      write_bandwidth: bytes per second that it stages and commits.
      recorded: images per second that it stages and commits if they have no bytes.
    """

    accelerators: int
    peak: float
    reached: float
    price: float
    cores: float
    decoded: float
    read_bandwidth: float
    write_bandwidth: float
    fed: float = math.inf
    recorded: float = math.inf


@dataclass(frozen=True)
class Storage:
    """Bytes per second that a storage gives to, and takes from, all hosts together."""

    read_bandwidth: float = math.inf
    write_bandwidth: float = math.inf


@dataclass(frozen=True)
class Throughput:
    """Images per second of each stage, as if the others took no time."""

    read: float
    decode: float
    feed: float
    compute: float
    write: float

    @property
    def bottleneck(self) -> str:
        """The slowest stage."""
        return min(vars(self), key=vars(self).__getitem__)

    @property
    def images(self) -> float:
        """Images per second of the run."""
        return min(vars(self).values())


@dataclass(frozen=True)
class Cost:
    """What a data set takes.

    Attributes:
      hours: from begin to end.
      accelerator_hours: the same, times the accelerators.
      price: of those.
      read_bytes: of all encoded images.
      stored_bytes: of the store when it is whole.
    """

    hours: float
    accelerator_hours: float
    price: float
    read_bytes: float
    stored_bytes: float


UNBOUNDED = Storage()


def throughput(
    work: Work, host: Host, num_accelerators: int, storage: Storage = UNBOUNDED
) -> Throughput:
    r"""Images per second of each stage.

    With $H = A / a$ hosts of $a$ accelerators each, and $A$ = `num_accelerators`:

    $$ \text{read} = \min(H b_r, B_r) / r, \quad \text{decode} = H c d, \quad
       \text{feed} = H e, \quad \text{compute} = A p u / f $$
    $$ 1 / \text{write} = w / \min(H b_w, B_w) + 1 / (H q) $$

    where an image takes $r$ bytes read, $w$ bytes written and $f$ operations; a host
    reads $b_r$ and writes $b_w$ bytes per second, has $c$ cores that decode $d$ images
    per second each, hands on $e$ images and records $q$ results per second; $p$ is an
    accelerator's peak, $u$ the share of it that is reached; the storage reads $B_r$ and
    writes $B_w$ for all.

    Args:
      work: what an image takes.
      host: what a host brings. Fewer accelerators than it has are a part of a host,
        with their part of its cores and its bandwidth.
      num_accelerators: how many compute.
      storage: what the hosts share.

    Raises:
      ValueError: if there is no accelerator.

    Example:
      >>> work = Work(operations=2e9, read_bytes=1e5, written_bytes=1e6, stored_bytes=0)
      >>> host = Host(accelerators=8, peak=1e12, reached=0.5, price=1, cores=10,
      ...             decoded=100, read_bandwidth=1e9, write_bandwidth=1e9)
      >>> found = throughput(work, host, 16, Storage(write_bandwidth=1.5e9))
      >>> found.read, found.decode, found.compute, found.write
      (20000.0, 2000.0, 4000.0, 1500.0)
      >>> found.bottleneck
      'write'
    """
    if num_accelerators < 1:
        raise ValueError(f"`num_accelerators`={num_accelerators} must be 1 or more.")
    hosts = num_accelerators / host.accelerators
    reading = min(hosts * host.read_bandwidth, storage.read_bandwidth)
    writing = min(hosts * host.write_bandwidth, storage.write_bandwidth)
    seconds = work.written_bytes / writing + 1 / (hosts * host.recorded)
    return Throughput(
        read=reading / work.read_bytes,
        decode=hosts * host.cores * host.decoded,
        feed=hosts * host.fed,
        compute=num_accelerators * host.peak * host.reached / work.operations,
        write=1 / seconds,
    )


def cost(
    work: Work,
    host: Host,
    num_accelerators: int,
    num_images: int,
    storage: Storage = UNBOUNDED,
) -> Cost:
    r"""Hours, bytes and price of a data set.

    $N$ images at the $v$ images per second of `throughput` take $t = N / 3600 v$
    hours, $A t$ hours of accelerators and $A t$ times their price; $N r$ bytes are
    read and $N s$ stored. Starting, compiling and the storage's own price are left out.

    Args:
      work: what an image takes.
      host: what a host brings.
      num_accelerators: how many compute.
      num_images: how many there are.
      storage: what the hosts share.

    Raises:
      ValueError: if there is no accelerator.

    Example:
      >>> work = Work(operations=1e9, read_bytes=10, written_bytes=2, stored_bytes=1)
      >>> host = Host(accelerators=4, peak=1e12, reached=0.5, price=3, cores=100,
      ...             decoded=100, read_bandwidth=1e9, write_bandwidth=1e9)
      >>> found = cost(work, host, num_accelerators=2, num_images=7_200_000)
      >>> found.hours, found.accelerator_hours, found.price
      (2.0, 4.0, 12.0)
      >>> found.read_bytes, found.stored_bytes
      (72000000, 7200000)
    """
    rate = throughput(work, host, num_accelerators, storage).images
    hours = num_images / rate / 3600
    return Cost(
        hours=hours,
        accelerator_hours=hours * num_accelerators,
        price=hours * num_accelerators * host.price,
        read_bytes=num_images * work.read_bytes,
        stored_bytes=num_images * work.stored_bytes,
    )
