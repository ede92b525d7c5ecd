import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import xattr
from tests.decoder.small import Small, colours, planted
from xattr.decoder._architecture import architecture
from xattr.decoder._classifier import trainable
from xattr.decoder._features import features_and_outputs
from xattr.decoder._precision import cast
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch
from xattr.decoder._step import init as init_of
from xattr.decoder._step import step, trained
from xattr.decoder._trained import Trained

compiled = jax.jit(step, static_argnames=("architecture", "settings"))
PLAIN = Settings(
    weights={"cross_entropy": 1.0, "area": 0.5},
    fills=("mean",),
    ramp=0.0,
    num_steps=10,
    average=0.5,
)


@functools.cache
def form(size=8):
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")
    return architecture(xattr.from_nnx(Small()), images, "second", channels=(4,))


@functools.cache
def batch(n=4, seed=0, size=8):
    images = jax.random.uniform(jax.random.key(seed), (n, size, size, 3))
    return Batch(images, jnp.arange(n) % 3)


@functools.cache
def frozen():
    return xattr.from_nnx(Small())


@functools.cache
def network():
    return trainable(Small())


# Compiled, as everything done one operation at a time is slow to begin with.
init = jax.jit(init_of, static_argnames=("architecture", "settings"))


def changed(settings, **values):
    return Settings(**{**vars(settings), **values})


def take(classifier, settings, batches, state=None):
    state = init(classifier, form(), settings) if state is None else state
    report = {}
    for each in batches:
        state, report = compiled(
            classifier, state, each, architecture=form(), settings=settings
        )
    return state, report


def assert_same(one, other, **tolerance):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def differ(one, other):
    return any(
        bool((a != b).any())
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def log_probability(logits, labels):
    logits = logits - jax.nn.logsumexp(logits, axis=1, keepdims=True)
    return logits[jnp.arange(len(labels)), labels]


@jax.jit
def masked_by(params, classifier, images, targets):
    """Masks and what they keep, with the mean colour of each image elsewhere."""
    features, _ = features_and_outputs(classifier, images, form().sites)
    mask = 1 / (1 + jnp.exp(-Trained(form(), params).decoder(features, targets)))
    return mask, mask * images + (1 - mask) * images.mean((1, 2), keepdims=True)


@pytest.mark.slow
def test_gradient_and_report_are_those_of_the_loss_written_out():
    model, (images, _) = frozen(), batch()
    state = init(model, form(), PLAIN)
    after, report = take(model, PLAIN, [batch()], state)
    targets = model(images).argmax(1)

    def loss(params):
        mask, kept = masked_by(params, model, images, targets)
        return -log_probability(model(kept), targets).mean() + 0.5 * mask.mean()

    total, gradient = jax.jit(jax.value_and_grad(loss))(state.decoder)
    np.testing.assert_allclose(report["total"], total, rtol=1e-5)
    np.testing.assert_allclose(
        report["grad_norm"], optax.tree.norm(gradient), rtol=1e-4
    )
    # After one step, Adam's first moment is a tenth of the gradient.
    moment = optax.tree.get(after.optimizer, "mu")
    assert_same(moment, jax.tree.map(lambda g: 0.1 * g, gradient), rtol=2e-3, atol=1e-7)
    mask, kept = masked_by(state.decoder, model, images, targets)
    np.testing.assert_allclose(report["area"], mask.mean(), rtol=1e-5)
    np.testing.assert_allclose(report["mask_mean"], mask.mean(), rtol=1e-5)
    deviations = np.asarray(mask).reshape(4, -1).std(1)
    np.testing.assert_allclose(report["mask_std"], deviations.mean(), rtol=1e-3)
    assert report["mask_share"] == np.mean(np.asarray(mask) > 0.5)
    right = np.mean(np.asarray(model(kept).argmax(1) == targets))
    assert report["kept_accuracy"] == right
    assert report["finite"]


@pytest.mark.slow
def test_the_same_state_and_batch_give_the_same_bytes_and_no_other_seed_does():
    settings = changed(PLAIN, fills=("noise",))
    start = init(frozen(), form(), settings)
    once, _ = take(frozen(), settings, [batch()], start)
    again, _ = take(frozen(), settings, [batch()], start)
    later, _ = take(frozen(), settings, [batch()], start._replace(step=start.step + 1))
    assert_same(once, again)
    assert differ(once.optimizer, later.optimizer)
    assert differ(start.decoder, init(frozen(), form(), changed(PLAIN, seed=1)).decoder)


@pytest.mark.slow
def test_two_half_batches_are_one_batch():
    whole = batch()
    halves = [Batch(*(part[rows] for part in whole)) for rows in np.split(np.r_[:4], 2)]
    one, _ = take(frozen(), PLAIN, [whole])
    gathered = changed(PLAIN, accumulate=2, num_steps=20)
    first, _ = take(frozen(), gathered, halves[:1])
    two, _ = take(frozen(), gathered, halves[1:], first)
    assert_same(first.decoder, init(frozen(), form(), gathered).decoder)
    assert differ(one.decoder, first.decoder)
    assert_same(one.decoder, two.decoder, rtol=1e-4, atol=1e-5)


def test_training_gives_the_running_average_or_the_last_parameters():
    start = init(frozen(), form(), PLAIN)
    first, _ = take(frozen(), PLAIN, [batch()], start)
    second, _ = take(frozen(), PLAIN, [batch()], first)
    assert_same(trained(start, form(), PLAIN).params, start.decoder)
    assert_same(trained(first, form(), PLAIN).params, first.decoder, rtol=1e-5)
    mean = jax.tree.map(lambda a, b: (a + 2 * b) / 3, first.decoder, second.decoder)
    assert_same(trained(second, form(), PLAIN).params, mean, rtol=1e-5, atol=1e-7)
    last = changed(PLAIN, average=0.0)
    assert_same(trained(second, form(), last).params, second.decoder)


@pytest.mark.slow
def test_the_weight_of_area_rises():
    settings = changed(PLAIN, ramp=0.5, weights={"area": 1.0})
    start = init(frozen(), form(), settings)
    for number, share in ((0, 0.0), (2, 0.4), (5, 1.0), (9, 1.0)):
        state = start._replace(step=jnp.array(number, jnp.int32))
        _, report = take(frozen(), settings, [batch()], state)
        np.testing.assert_allclose(report["total"], share * report["area"], rtol=1e-5)


def test_what_is_not_finite_leaves_the_state_as_it_was():
    images, labels = batch()
    broken = Batch(images.at[0, 0, 0, 0].set(jnp.nan), labels)
    before, _ = take(frozen(), PLAIN, [batch()])
    after, report = take(frozen(), PLAIN, [broken], before)
    assert not report["finite"]
    assert_same(after, before)


def flops(lowered):
    analysis = lowered.compile().cost_analysis()
    assert analysis is not None
    return analysis["flops"]


@pytest.mark.slow
def test_a_pass_that_no_term_reads_is_not_compiled():
    def cost(weights):
        settings = changed(PLAIN, weights=weights)
        state = init(frozen(), form(), settings)
        lowered = compiled.lower(
            frozen(), state, batch(), architecture=form(), settings=settings
        )
        return flops(lowered)

    forward = jax.jit(lambda m, x: m(x)).lower(frozen(), batch().images)
    least = flops(forward)
    without = cost({"cross_entropy": 1.0, "area": 1.0})
    assert cost({"cross_entropy": 1.0, "hidden_entropy": 1.0}) > without + 1.5 * least


@pytest.mark.slow
def test_half_precision_is_near_and_keeps_parameters_whole():
    half = changed(PLAIN, precision="bfloat16")
    state, found = take(frozen(), half, [batch()])
    _, exact = take(frozen(), PLAIN, [batch()])
    np.testing.assert_allclose(found["total"], exact["total"], rtol=0.02)
    assert found["total"] != exact["total"]
    np.testing.assert_allclose(found["grad_norm"], exact["grad_norm"], rtol=0.1)
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(state)}
    assert dtypes == {"float32", "int32"}


JOINT = changed(PLAIN, mode="joint", classifier_learning_rate=0.1)


@pytest.mark.slow
def test_classifier_learns_from_images_and_what_is_kept_of_them():
    module = Small()
    classifier = trainable(module)
    images, labels = batch()
    start = init(classifier, form(), JOINT)
    after, report = take(classifier, JOINT, [batch()], start)
    _, kept = masked_by(start.decoder, frozen(), images, labels)

    def logits(params, images):
        module = nnx.merge(classifier.graph, params, classifier.statistics, copy=True)
        return module(images), module.norm.mean[...]

    def loss(params):
        clean, _ = logits(params, images)
        masked, _ = logits(params, kept)
        mean = -log_probability(clean, labels).mean()
        return mean - 0.5 * log_probability(masked, labels).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(classifier.params)
    expected = jax.tree.map(
        lambda p, g: p - 0.1 * (g + 1e-4 * p), classifier.params, gradient
    )
    np.testing.assert_allclose(report["classifier_loss"], value, rtol=1e-5)
    assert_same(after.classifier.params, expected, rtol=1e-3, atol=1e-5)
    # Only the images themselves move the batch statistics.
    _, mean = logits(classifier.params, images)
    np.testing.assert_allclose(
        after.classifier.statistics["norm"]["mean"][...], mean, rtol=1e-4, atol=1e-6
    )
    by_hand = 0.1 * module.first(images).mean((0, 1, 2))
    np.testing.assert_allclose(mean, by_hand, rtol=1e-4, atol=1e-6)
    assert (
        report["accuracy"]
        == (logits(classifier.params, images)[0].argmax(1) == labels).mean()
    )
    # The module that was given stays as it was.
    assert_same(nnx.state(module), nnx.state(Small()))


@pytest.mark.slow
def test_decoder_explains_the_label_to_the_classifier_as_it_is():
    classifier = network()
    images, labels = batch()
    start = init(classifier, form(), JOINT)
    _, report = take(classifier, JOINT, [batch()], start)
    mask, kept = masked_by(start.decoder, frozen(), images, labels)
    error = -log_probability(frozen()(kept), labels).mean()
    np.testing.assert_allclose(report["total"], error + 0.5 * mask.mean(), rtol=1e-5)


@pytest.mark.slow
def test_statistics_may_be_kept():
    settings = changed(JOINT, train_statistics=False)
    classifier = network()
    after, _ = take(classifier, settings, [batch()])
    assert_same(after.classifier.statistics, classifier.statistics)
    assert differ(after.classifier.params, classifier.params)


@pytest.mark.slow
def test_a_past_state_of_the_classifier_judges_what_is_kept():
    settings = changed(
        JOINT, mode="pool", pool_size=2, pool_every=2, pool_probability=1.0
    )
    classifier = network()
    state = init(classifier, form(), settings)
    kept = []
    for _ in range(6):
        state, _ = take(classifier, settings, [batch()], state)
        kept.append(state.classifier.params["head"]["kernel"][...])
    assert state.pool.pushed == 3
    members = state.pool.members[0]["head"]["kernel"][...]
    np.testing.assert_array_equal(members, jnp.stack([kept[5], kept[3]]))
    # Judges that know nothing give each of the three classes the same.
    blank = state.pool._replace(
        members=jax.tree.map(jnp.zeros_like, state.pool.members)
    )
    _, report = take(classifier, settings, [batch()], state._replace(pool=blank))
    np.testing.assert_allclose(report["cross_entropy"], np.log(3), rtol=1e-5)
    assert report["classifier_loss"] != pytest.approx(1.5 * np.log(3), rel=1e-3)


@pytest.mark.slow
def test_discriminator_takes_no_part_before_its_time():
    settings = changed(PLAIN, num_steps=4, adversarial=5.0, adversarial_start=0.5)
    start = init(frozen(), form(), settings)
    state, report = take(frozen(), settings, [batch()] * 2, start)
    plain, _ = take(frozen(), changed(PLAIN, num_steps=4), [batch()] * 2)
    assert_same(state.adversary, start.adversary)
    assert_same(state.decoder, plain.decoder, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        report["total"], report["cross_entropy"] + 0.5 * report["area"], rtol=1e-5
    )
    state, report = take(frozen(), settings, [batch()], state)
    assert differ(state.adversary.params, start.adversary.params)
    plain, _ = take(frozen(), changed(PLAIN, num_steps=4), [batch()], plain)
    apart = jax.tree.map(
        lambda x, y: float(jnp.abs(x - y).max()), state.decoder, plain.decoder
    )
    assert max(jax.tree.leaves(apart)) > 1e-4, "the looks don't reach the decoder"
    parts = report["cross_entropy"] + 0.5 * report["area"] + 5 * report["adversarial"]
    np.testing.assert_allclose(report["total"], parts, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_masks_come_to_lie_on_the_planted_square():
    model = colours()
    settings = Settings(
        weights={"cross_entropy": 1.0, "area": 2.0},
        fills=("mean",),
        num_steps=60,
        learning_rate=5e-2,
        average=0.8,
    )
    images = jax.ShapeDtypeStruct((1, 16, 16, 3), "float32")
    chosen = architecture(model, images, "relu:0", channels=(8,))

    @jax.jit
    def overlap(state):
        images, _, where = planted(99, 32)
        features, _ = features_and_outputs(model, images, chosen.sites)
        seen = trained(state, chosen, settings).decoder(features)[..., 0] > 0
        return ((seen & where).sum((1, 2)) / (seen | where).sum((1, 2))).mean()

    draw = jax.jit(functools.partial(planted, n=16))

    state = init(model, chosen, settings)
    assert overlap(state) < 0.2
    for number in range(60):
        images, labels, _ = draw(number)
        state, _ = compiled(
            model,
            state,
            Batch(images, labels),
            architecture=chosen,
            settings=settings,
        )
    assert overlap(state) > 0.6


@pytest.mark.parametrize(
    "settings",
    [PLAIN, pytest.param(JOINT, marks=pytest.mark.slow)],
    ids=lambda settings: settings.mode,
)
def test_evidence_is_for_the_class_to_be_explained(settings):
    model, (images, labels) = frozen(), batch()
    chosen = replace(form(), output="evidence", num_classes=3)
    state = init(network(), chosen, settings)
    # Of masks that all cells share, the last kernel would be the only one that learns.
    state = state._replace(
        decoder=jax.tree.map(
            lambda x: x + 0.1 * jnp.arange(x.size).reshape(x.shape) % 1, state.decoder
        )
    )
    after, report = compiled(
        network(), state, batch(), architecture=chosen, settings=settings
    )

    def mask_of(targets):
        features, _ = features_and_outputs(
            model, images, chosen.sites, targets, evidence=True
        )
        return Trained(chosen, state.decoder).decoder.mask(features)

    predicted, explained = mask_of(model(images).argmax(1)), mask_of(labels)
    assert abs(float(predicted.mean() - explained.mean())) > 1e-4
    expected = predicted if settings is PLAIN else explained
    np.testing.assert_allclose(report["mask_mean"], expected.mean(), rtol=1e-5)
    entry = after.decoder["evidence"]["linear"]["kernel"]
    assert differ(entry, state.decoder["evidence"]["linear"]["kernel"])


def test_a_model_can_not_be_trained_along():
    with pytest.raises(
        TypeError, match=r"mode.='joint' asks. Give `trainable\(module\)"
    ):
        init(frozen(), form(), JOINT)


def test_only_modules_are_trainable():
    with pytest.raises(TypeError, match="only a Flax NNX module can be"):
        trainable(frozen())


def test_what_the_decoder_was_not_made_for_is_refused():
    state, images = init(frozen(), form(), PLAIN), batch()
    with pytest.raises(TypeError, match="`classifier` is a function"):
        step(lambda x: x, state, images, architecture=form(), settings=PLAIN)  # pyright: ignore[reportArgumentType]
    other = replace(form(), output="class", num_classes=4)
    message = "`classifier` has 3 classes, but `architecture` was made for 4"
    with pytest.raises(ValueError, match=message):
        step(frozen(), state, images, architecture=other, settings=PLAIN)


def test_a_parameter_may_be_a_plain_number():
    found = cast(
        {"scale": 2.0, "kernel": jnp.ones(2), "count": jnp.ones(2, int)}, "bfloat16"
    )
    assert found["scale"] == 2.0
    assert found["kernel"].dtype == jnp.bfloat16
    assert found["count"].dtype == jnp.int32


def test_outputs_must_be_logits():
    model = xattr.Model(lambda model, images: (model(images),), frozen())
    with pytest.raises(ValueError, match=r"gives arrays of shapes \[\(4, 3\)\]"):
        step(
            model,
            init(frozen(), form(), PLAIN),
            batch(),
            architecture=form(),
            settings=PLAIN,
        )
