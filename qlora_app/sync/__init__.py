"""Folders of jobs kept at a url too: on another disk, in a bucket of S3 or of the Hub."""

from .carry import Carried, fetched, sent
from .target import Target

__all__ = ["Carried", "Target", "fetched", "sent"]
