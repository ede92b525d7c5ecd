"""A decoder for the bundled MobileNetV2, trained on photographs of ImageNet's classes.

CONFIG=experiments/saliency_decoder/config.py
python -m xattr decoder train --data PHOTOGRAPHS --config $CONFIG --out OUT
python -m xattr decoder evaluate OUT --against grad_cam,score_cam,opti_cam
python -m xattr decoder explain OUT SOME.jpg

PHOTOGRAPHS is a folder of class folders. Every fifth photograph, drawn at random, is
held out and measured. The masks are those of the predicted classes, so that the names
of the folders do not matter.
"""

from xattr.decoder import Config, Settings

config = Config(
    model="mobilenet_v2",
    # 7 x 7 x 1280, 14 x 14 x 96 and 28 x 28 x 32: the last values of each grid.
    sites=("features/18", "features/13", "features/6"),
    channels=(64, 32, 16),
    output="selector",
    held_out=0.2,
    by="image",
    settings=Settings(
        weights={
            "cross_entropy": 1.0,
            "divergence": 0.5,
            "hidden_entropy": 1.0,
            "area": 1.0,
            "total_variation": 0.05,
            "binary": 0.02,
            "compactness": 0.05,
        },
        fills=("mean", "blur", "noise"),
        num_steps=3000,
        batch_size=32,
        learning_rate=1e-3,
        warmup=100,
        ramp=0.2,
    ),
)
