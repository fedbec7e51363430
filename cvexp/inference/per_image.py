"""The per-image records of a pass over a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.comparability import test_set
from cvexp.image_records import RecordsInfo, from_logits, order_digest

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.data.dataset import Dataset
    from cvexp.image_records import ImageRecords
    from cvexp.results import HeldOutName


def image_records(
    logits: Tensor, dataset: Dataset, split_name: HeldOutName, *, split_seed: int, limit: int | None
) -> ImageRecords:
    """What `logits`, float32 (K, N) on any device, say of the images of a split that the dataset has.

    `split_seed` and `limit` are those that the dataset was loaded with.
    """
    split = dataset.held_out(split_name)
    labels = split.labels.cpu().numpy()
    with torch.inference_mode():
        predicted = logits.max(dim=0).indices  # as inference.evaluate.score does: the same of several equal ones
    about = RecordsInfo(
        data_digest=dataset.digest,
        test_set=test_set(dataset.digest, limit=limit if len(dataset.test) == limit else None, split_seed=split_seed),
        split=split_name,
        split_seed=split_seed,
        order_digest=order_digest(split.identities.numpy(), labels),
        n_classes=dataset.n_classes,
    )
    return from_logits(logits.cpu().numpy(), labels, predicted.cpu().numpy(), about)
