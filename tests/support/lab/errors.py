"""The one exception of the lab."""


class LabError(Exception):
    """Something in the lab failed; the message names what and why."""
