"""Train a decoder for MobileNetV2 on photographs, and measure it; see README.md.

    python experiments/saliency_decoder/run.py --data ../data --work DIR

Calls `python -m xattr decoder train` and `decoder evaluate`, which go on where they
were. The table is copied beside this file; photographs are not.
"""

import argparse
import csv
import datetime
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
HELD_OUT, MEASURED = 100, 100
AGAINST = "grad_cam,score_cam,opti_cam"


def prepared(data: Path, work: Path) -> dict[str, int]:
    """Folders of photographs, `train` and `test`, and the boxes of the latter.

    Of the boxed animals 100 are held out, drawn at random by image; all others, and the
    photographs of ImageNet's and COCO's classes, are to train on.
    """
    known = json.loads((data / "animal_boxes" / "annotations.json").read_text())
    order = np.random.default_rng(0).permutation(len(known["images"]))
    held_out = set(order[:HELD_OUT].tolist())
    boxes = io.StringIO()
    write = csv.writer(boxes).writerow
    write(["file", "width", "height", "x0", "y0", "x1", "y1"])
    for part in ("train", "test"):
        (work / part).mkdir(parents=True, exist_ok=True)
    with tarfile.open(data / "animal_boxes" / "images.tar") as archive:
        for number, about in enumerate(known["images"]):
            name = f"{number:03d}-{about['file'].replace('/', '-')}"
            part = "test" if number in held_out else "train"
            content = archive.extractfile(about["file"])
            assert content is not None
            (work / part / name).write_bytes(content.read())
            if number in held_out:
                for found in about["objects"]:
                    write([name, about["width"], about["height"], *found["box"]])
    (work / "boxes.csv").write_text(boxes.getvalue())
    for folder in ("imagenet_sample", "coco_boxes"):
        with tarfile.open(data / folder / "images.tar") as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member)
                if content is not None:
                    name = f"{folder}-{Path(member.name).name}"
                    (work / "train" / name).write_bytes(content.read())
    return {part: len(list((work / part).iterdir())) for part in ("train", "test")}


def call(*words: object) -> None:
    """A command of the library, whose failure ends this."""
    code = subprocess.run(
        [sys.executable, "-m", "xattr", "decoder", *map(str, words)], check=False
    ).returncode
    if code not in (0, 1):
        sys.exit(code)


def main() -> None:
    """Train, measure, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("saliency_decoder"))
    arguments = parser.parse_args()
    work = arguments.work
    counts = prepared(arguments.data, work)
    out = work / "decoder"
    call(
        "train", "--data", work / "train", "--config", HERE / "config.py", "--out", out
    )
    call(
        *("evaluate", out, "--data", work / "test", "--boxes", work / "boxes.csv"),
        *("--against", AGAINST, "--limit", MEASURED),
    )
    for name in ("evaluation.csv", "differences.csv", "losses.csv"):
        shutil.copy(out / name, HERE / name)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "photographs": counts,
        "measured": min(MEASURED, counts["test"]),
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
