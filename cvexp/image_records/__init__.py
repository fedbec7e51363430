"""What a model said of every image of a split, as one compact file, so that no analysis has to run the model again."""

from cvexp.image_records.parquet import read_records, write_records
from cvexp.image_records.values import ImageRecords, RecordsInfo, check_same_images, from_logits, order_digest

__all__ = [
    "ImageRecords",
    "RecordsInfo",
    "check_same_images",
    "from_logits",
    "order_digest",
    "read_records",
    "write_records",
]
