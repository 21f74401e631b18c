"""What to print about a lab when something in it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LabError

if TYPE_CHECKING:
    from .hosts import Host
    from .lab import Lab

_COMMANDS = (
    "ip -br address",
    "ip route",
    "ip -6 route",
    "ip neighbour",
    "ss -Htan state listening",
)

# Only those that are not zero are shown.
_COUNTERS = ("TcpInCsumErrors", "TcpRetransSegs", "TcpOutRsts",
             "TcpEstabResets", "TcpExtTCPTimeouts", "TcpExtListenDrops",
             "IpInAddrErrors", "IpInHdrErrors", "IpOutNoRoutes", "Icmp6OutErrors",
             "IcmpOutDestUnreachs", "Ip6InNoRoutes", "Ip6OutNoRoutes",
             "Ip6InTooBigErrors", "Ip6FragFails", "IpFragFails")


def _of_host(host: Host, log_lines: int) -> list[str]:
    lines = [f"===== {host.name} ({host.netns})"]
    for command in _COMMANDS:
        try:
            done = host.run(*command.split(), check=False, timeout=10)
            output = (done.stdout + done.stderr).rstrip()
        except LabError as error:
            output = str(error)
        if output:
            lines += [f"$ {command}", output]
    for what, counters in (("counters", _counters),
                           ("eth0", _device_counters)):
        try:
            lines.append(f"{what}: " + (", ".join(counters(host)) or "-"))
        except LabError as error:  # A machine that has ended has none.
            lines.append(f"{what}: {error}")
    for child in host.children:
        state = ("running" if child.running()
                 else f"ended with {child.exit_code()}")
        lines += [f"--- {child.name} (pid {child.pid}, {state})"]
    for log in sorted(host.directory.glob("*.log")):
        text = log.read_text(errors="replace").splitlines()[-log_lines:]
        lines += [f"--- last {len(text)} lines of {log}", *text]
    return lines


def _counters(host: Host) -> list[str]:
    done = host.run("nstat", "-as", *_COUNTERS, check=False, timeout=10)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    return [f"{row[0]} {row[1]}" for row in rows if len(row) > 1]


def _device_counters(host: Host) -> list[str]:
    """Drops and errors inside veth; rx_queue_0_xdp_tx_errors, for example,
    says that XDP_TX found no program on the other end."""
    done = host.run("ethtool", "-S", "eth0", check=False, timeout=10)
    rows = [line.strip() for line in done.stdout.splitlines()]
    return [row for row in rows
            if ("drop" in row or "err" in row) and not row.endswith(": 0")]


def describe(lab: Lab, log_lines: int = 40) -> str:
    """Addresses, routes, neighbours, counters, programs and ends of logs."""
    lines = [f"##### lab {lab.name}"]
    for host in lab.hosts:
        lines += _of_host(host, log_lines)
    return "\n".join(lines)
