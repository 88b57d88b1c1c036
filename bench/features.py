"""2,048 features of scikit-learn's digits, as an .npz for ``ohmgrid train --data``.

``python bench/features.py --out FEATURES.npz`` needs no download: the 1,797 images come with
scikit-learn, and the map is fixed and known, random Fourier features of a Gaussian kernel (Rahimi
and Recht, NIPS 2007; scikit-learn's `RBFSampler`): ``f_j = cos(w_j x + b_j)``, drawn from a seed.
No pretrained net is behind them. They have the shape of the transfer learning of Ambrogio et al.
2018, whose last layer learns 2,048 features and a bias into 10 or 100 classes.
"""

from pathlib import Path

import click
import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler

from ohmgrid.storage.files import write_whole

GAMMA = 0.1
"""Of the kernel ``exp(-gamma |x - y|^2)``, pixels of 0..1."""


def make_features(features: int, seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of the file: floats of -1..1, every fifth image (index mod 5 = 4) a test.

    Parameters
    ----------
    features : int
    seed : int
        Of the map.
    """
    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels) / 16
    test = np.arange(len(labels)) % 5 == 4
    sampler = RBFSampler(gamma=GAMMA, n_components=features, random_state=seed)
    found = sampler.fit(images[~test]).transform(images)
    # It scales cosines so that products of two features add up to the kernel.
    cosines = (found * np.sqrt(features / 2)).astype(np.float32)
    return {
        "x_train": cosines[~test],
        "y_train": labels[~test],
        "x_test": cosines[test],
        "y_test": labels[test],
    }


@click.command()
@click.option("--features", type=click.IntRange(1, 65535), default=2048, help="[2048]")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the map [1].")
@click.option("--out", type=Path, required=True, metavar="FILE.npz")
def main(features: int, seed: int, out: Path) -> None:
    """Write features of the bundled digits; see the module's text."""
    arrays = make_features(features, seed)
    write_whole(out, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
    train, test = len(arrays["y_train"]), len(arrays["y_test"])
    click.echo(f"{out}: {features} features, {train} to train on, {test} to test with")


if __name__ == "__main__":
    main()
