"""Why frames of a structure are not to be had."""

from __future__ import annotations

from transip_md.common.errors import TransIPError


class SamplingError(TransIPError):
    """The teacher could not label a structure."""


class NothingToSampleError(SamplingError):
    """The structure has nothing of what the mode changes, such as a bond to rotate about."""


class FewerFramesError(SamplingError):
    """The mode came to its end before it gave all frames that were asked for."""
