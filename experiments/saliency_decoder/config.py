"""A decoder for the bundled MobileNetV2, trained on photographs without labels.

CONFIG=experiments/saliency_decoder/config.py
python -m xattr decoder train --data PHOTOGRAPHS --config $CONFIG --out OUT
python -m xattr decoder evaluate OUT --data OTHERS --against grad_cam,score_cam
python -m xattr decoder explain OUT SOME.jpg
"""

from xattr.decoder import Config, Settings

config = Config(
    model="mobilenet_v2",
    # 7 x 7 x 1280 and 14 x 14 x 96: the last values of each grid.
    sites=("features/18", "features/13"),
    channels=(64, 32, 16),
    # Where the class is seen, by weights that were learnt from far more photographs.
    output="evidence",
    # What is cut in training comes to have two values; what little is left of the lower
    # one is worth seeing.
    quantiles=(0.25, 0.9),
    final_quantiles=(0.05, 0.95),
    labels=None,
    held_out=0.0,
    settings=Settings(
        weights={
            "cross_entropy": 1.0,
            "divergence": 0.5,
            "hidden_entropy": 0.5,
            "area": 2.3,
            # Score-CAM's maps, scaled to [0, 1], have a mean of 0.39 to 0.42.
            "target_area_40": 0.1,
            "total_variation": 0.05,
            "binary": 0.05,
        },
        # Average drop and gain show black where they hide.
        fills=("black",),
        num_steps=1300,
        batch_size=16,
        learning_rate=3e-3,
        warmup=50,
        average=0.99,
    ),
    checkpoint_every=250,
)
