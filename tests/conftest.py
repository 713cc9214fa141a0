"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the law holds.
settings.register_profile("newsquake", deadline=None)
settings.load_profile("newsquake")
