"""The one small tree of expected errors. Each message says what was found, where, and what is expected.

`exit_code` is what the command line ends with: 1 for something that failed, 2 for wrong usage or configuration.
"""

from __future__ import annotations


class NewsquakeError(Exception):
    """Something that can be expected to go wrong, told in one plain message."""

    exit_code = 1


class ConfigurationError(NewsquakeError):
    """A file, key or argument that the operator has to change."""

    exit_code = 2


class ArtefactError(NewsquakeError):
    """A model folder that is missing, changed, cut short or not what it says it is."""


class ScoringError(NewsquakeError):
    """The model's thread has died or was closed: nothing is judged any more."""


class StoreError(NewsquakeError):
    """The database cannot be opened, is too old, or is not writable."""


class PromotionError(NewsquakeError):
    """A model cannot be promoted or rolled back as things stand."""


class StoreAway(StoreError):
    """The database cannot be reached or written at present; it may be back by itself."""


class OwnershipLost(StoreError):
    """Another process owns this partition of the database: our epoch is stale and nothing more may be committed."""


class SourceError(NewsquakeError):
    """A source could not be read this time; it is tried again later."""


class TargetError(NewsquakeError):
    """A receiver of messages does not answer as its kind does."""


class Busy(NewsquakeError):
    """There is no room at the moment; the one who asks should come back later."""

    def __init__(self, retry_after: float, reason: str = "the queue is full") -> None:
        super().__init__(f"{reason}; come back in {retry_after:.0f} s")
        self.retry_after = retry_after
