"""Project vectors to a plane by t-SNE or principal components, and sample rows evenly.

The same vectors give the same points.
"""

import numpy as np

_FEW = 12  # t-SNE needs at least this many vectors
_DIMENSIONS = 50  # of the input of t-SNE: fewer are much faster, and the rest is mostly noise (vandermaaten2008tsne)


def sample(number: int, most: int, share: float) -> np.ndarray:
    """Return at most `share * most` positions, evenly spread over `number` rows, in order."""
    wanted = max(1, min(number, int(most * share)))
    return np.unique(np.linspace(0, number - 1, wanted).round().astype(np.int64))


def project(vectors: np.ndarray, method: str) -> np.ndarray:
    """Return points [vectors, 2] between -1 and 1 by `tsne` or `pca`; fewer than 12 vectors always use pca."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    components = _principal(centred, 2 if method == "pca" or len(vectors) < _FEW else _DIMENSIONS)
    if components.shape[1] > 2:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(vectors) - 1) / 3)
        components = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(components)
    components = components - (components.max(axis=0) + components.min(axis=0)) / 2
    return components / max(float(np.abs(components).max()), 1e-12)


def _principal(centred: np.ndarray, wanted: int) -> np.ndarray:
    """Return the first principal components [vectors, wanted], with the sign that makes the largest weight positive."""
    _, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :wanted]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    points = centred @ (chosen * signs)
    return np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
