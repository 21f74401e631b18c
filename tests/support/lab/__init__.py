"""The netns lab; see lab.py for the drawing and an example."""

from .addressing import VIPS
from .errors import LabError
from .fleet import Fleet
from .hosts import Backend, Client, Host, LbHost, LinkedHost, WsServer
from .lab import Lab, LabOptions, default_build
from .processes import Child, wait_until

__all__ = [
    "Backend", "Child", "Client", "Fleet", "Host", "Lab", "LabError",
    "LabOptions", "LbHost", "LinkedHost", "VIPS", "WsServer", "default_build",
    "wait_until",
]
