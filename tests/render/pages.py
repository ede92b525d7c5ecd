"""A small page with all that a page can hold."""

import numpy as np

from xattr.render import (
    Explanation,
    Layer,
    MapCounts,
    PageHead,
    Skipped,
    Summary,
    Turn,
    embed,
    page,
)

EVIL = "<script>document.body.innerHTML='evil'</script>\"'.jpg"
SIDE = 64


def wedge() -> np.ndarray:
    """-1 in the left third, 0 in the middle, 1 in the right."""
    values = np.zeros((SIDE, SIDE), np.float32)
    values[:, : SIDE // 3] = -1
    values[:, -SIDE // 3 :] = 1
    return values


def sample_page() -> str:
    photo = np.full((SIDE, SIDE, 3), (60, 120, 200), np.uint8)
    layers = [
        Layer("grad_cam", embed(wedge())),
        Layer("integrated_gradients", None, "Nothing to draw: the map is not finite"),
    ]
    guesses = [("tiger cat, <b>Felis</b>", 0.75), ("tabby", 0.2), ("lynx", 0.01)]
    entries = [
        Explanation("a.png", embed(photo), guesses, guesses[0][0], 0.75, layers, 0),
        Explanation(EVIL, embed(photo), guesses, "toaster", 0.0001, layers, None),
    ]
    head = PageHead(
        model="mobilenet_v2",
        methods=["grad_cam", "integrated_gradients"],
        facts=[("Explained class", "predicted")],
        notice="The run was interrupted.",
        turn=Turn(1, 3, "index.html", "index-{}.html"),
        summary=Summary(
            statuses=[("ok", 1), ("faulty", 1), ("skipped", 1)],
            probabilities=[1, 0, 0, 1],
            predictions=[("tiger cat, <b>Felis</b>", 2)],
            num_predicted=1,
            maps=[
                MapCounts("grad_cam", drawn=2),
                MapCounts("integrated_gradients", drawn=0, not_finite=2),
            ],
        ),
        position="2 files",
    )
    return page(head, entries, [Skipped(EVIL, "it is not an image")])
