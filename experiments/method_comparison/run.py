"""Methods by metrics on boxed photographs of animals; see README.md.

    python experiments/method_comparison/run.py --data ../data --part squeezenet1_1

Each part is a call of `python -m xattr compare`, which goes on where it was if it is
interrupted. Its table, its costs and its charts are copied beside this file, and what
it foretold and took is kept in results.json. Photographs are not.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

# One of each kind, five of the gradient CAMs, and what costs most.
METHODS = (
    "gradient,input_x_gradient,smoothgrad,vargrad,integrated_gradients,full_grad,"
    "guided_backprop,deconvnet,lrp,lrp_epsilon,deeplift,excitation_backprop,"
    "contrastive_excitation_backprop,guided_grad_cam,grad_cam,grad_cam_plus_plus,"
    "hires_cam,layer_cam,xgrad_cam,eigen_cam,ablation_cam,occlusion,feature_ablation,"
    "rise,lime"
)
METRICS = (
    "deletion,insertion,average_drop,average_gain,faithfulness_correlation,"
    "pointing_game,energy_pointing_game,relevance_rank,gini,max_sensitivity,"
    "random_logit,parameter_randomization"
)
# All others that explain a convolutional network, for the sanity checks.
OTHERS = (
    "expected_gradients,guided_integrated_gradients,blur_integrated_gradients,xrai,"
    "conductance,layer_integrated_gradients,lrp_epsilon_plus_flat,"
    "lrp_epsilon_alpha2_beta1,lrp_epsilon_alpha2_beta1_flat,lrp_epsilon_gamma_box,"
    "deepshap,grad_cam_elementwise,eigen_grad_cam,smooth_grad_cam_plus_plus,"
    "shapley_cam,integrated_grad_cam,score_cam,ss_cam,is_cam,opti_cam,"
    "shapley_sampling,kernel_shap,sobol,hsic,meaningful_perturbation,"
    "extremal_perturbation"
)
CHECKS = "random_logit,parameter_randomization"
EXPENSIVE = "grad_cam,lrp,score_cam,opti_cam,occlusion,rise,lime,kernel_shap"
# A map of some of them costs more than 2000 evaluations: none is made again.
ONCE = (
    "deletion,insertion,road,average_drop,average_gain,faithfulness_correlation,"
    "pointing_game,energy_pointing_game,relevance_rank,gini"
)


@dataclass(frozen=True)
class Part:
    """A comparison.

    Attributes:
      model: a network, with the weights of that name.
      count: how many photographs, drawn at random from those that are boxed.
      budget: of the command.
      methods: of the command.
      metrics: of the command.
      batch_size: of the command; what is foretold is foretold from one batch.
    """

    model: str
    count: int
    budget: str = "quick"
    methods: str = METHODS
    metrics: str = METRICS
    batch_size: int = 8


PARTS = {
    "squeezenet1_1": Part("squeezenet1_1", 200),
    # RISE's 4000 masks in 40 maps of each photograph are 70 % of what it would take.
    "squeezenet1_1_paper": Part(
        "squeezenet1_1",
        5,
        "paper",
        methods=METHODS.replace("rise", "grad_cam_elementwise"),
        batch_size=1,
    ),
    "squeezenet1_1_checks": Part("squeezenet1_1", 8, methods=OTHERS, metrics=CHECKS),
    "mobilenet_v2": Part("mobilenet_v2", 100),
    "resnet50": Part("resnet50", 50, methods=EXPENSIVE, metrics=ONCE),
}


def photographs(data: Path, folder: Path, count: int) -> list[dict]:
    """Write some photographs in a random order, their boxes and their labels."""
    known = json.loads((data / "animal_boxes" / "annotations.json").read_text())
    order = np.random.default_rng(0).permutation(len(known["images"]))[:count]
    chosen = [known["images"][k] for k in order]
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    boxes, labels = io.StringIO(), io.StringIO()
    write_box, write_label = csv.writer(boxes).writerow, csv.writer(labels).writerow
    write_box(["file", "width", "height", "x0", "y0", "x1", "y1"])
    write_label(["file", "label"])
    with tarfile.open(data / "animal_boxes" / "images.tar") as archive:
        for number, about in enumerate(chosen):
            # The number keeps the random order where files are sorted by name.
            name = f"{number:03d}-{about['file'].replace('/', '-')}"
            file = archive.extractfile(about["file"])
            assert file is not None
            (folder / "photographs" / name).write_bytes(file.read())
            write_label([name, about["label"]])
            for found in about["objects"]:
                write_box([name, about["width"], about["height"], *found["box"]])
    (folder / "boxes.csv").write_text(boxes.getvalue())
    (folder / "labels.csv").write_text(labels.getvalue())
    return chosen


def command(part: Part, data: Path, folder: Path, out: Path) -> list[str]:
    """The call of a part."""
    weights = data / "weights" / f"{part.model}.safetensors"
    return [
        *(sys.executable, "-m", "xattr", "compare"),
        *("--data", str(folder / "photographs"), "--boxes", str(folder / "boxes.csv")),
        *("--labels", str(folder / "labels.csv"), "--target", "label"),
        *("--model", part.model, "--weights", str(weights), "--budget", part.budget),
        *("--methods", part.methods, "--metrics", part.metrics, "--out", str(out)),
        *("--batch-size", str(part.batch_size)),
    ]


def run(name: str, data: Path, work: Path) -> dict:
    """Compute a part, and say how long it took and was foretold to take."""
    part, out = PARTS[name], work / name / "out"
    chosen = photographs(data, work / name, part.count)
    code = subprocess.run(command(part, data, work / name, out), check=False).returncode
    if code not in (0, 1):
        sys.exit(code)
    kept = HERE / name
    kept.mkdir(exist_ok=True)
    for file in [*out.glob("*.csv"), *out.glob("*.png")]:
        shutil.copy(file, kept / file.name)
    times = json.loads((out / "times.json").read_text())
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "photographs": [about["file"] for about in chosen],
        "methods": part.methods.split(","),
        "metrics": part.metrics.split(","),
        "budget": part.budget,
        "batch_size": part.batch_size,
        "first_tile_seconds": round(times["first_tile"], 1),
        "foretold_seconds": round(times["foretold"], 1),
        "rest_seconds": round(times["rest"], 1),
        # Of one call only: what an interrupted one has done is in no forecast. 0 where
        # all is in the first tile.
        "rest_over_foretold": times["foretold"]
        and round(times["rest"] / times["foretold"], 3),
    }


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS, action="append", required=True)
    parser.add_argument("--work", type=Path, default=Path("method_comparison"))
    arguments = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in arguments.part:
        found = run(name, arguments.data, arguments.work)
        # A call that found all computed has foretold nothing.
        if found["foretold_seconds"] or name not in results:
            results[name] = found
        file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
