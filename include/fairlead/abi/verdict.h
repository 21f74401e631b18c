/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How a packet left a program. Each packet bumps exactly one verdict, so the sum of a program's
 * verdicts is the number of packets it saw. The lists are append-only: a number never changes its
 * meaning, a removed verdict leaves a hole.
 *
 * X(NAME, ACTION, help): ACTION is the XDP action that the entry program, and only it, returns.
 * REDIRECT means that the packet leaves by another interface than it came in by.
 */
#pragma once

#include "fairlead/abi/types.h"

/* fl_lb, on an LB host. */
#define FL_LB_VERDICTS(X)                                                                          \
	X(PASS_NOT_IP, PASS, "neither IPv4 nor IPv6: the host's own traffic")                      \
	X(PASS_TRUNCATED, PASS, "the frame ends before its destination is known")                  \
	X(PASS_NOT_TCP, PASS, "not TCP: the host's own traffic")                                   \
	X(PASS_NOT_SERVICE, PASS, "TCP for an address and port that no service has")               \
	X(TX_HIT, TX, "segment of a recorded flow, to the flow's backend")                         \
	X(TX_SYN_NEW, TX, "SYN of a new flow, recorded, to the chosen backend")                    \
	X(TX_SYN_AGAIN, TX, "SYN of a recorded flow, to the same backend")                         \
	X(TX_SYN_CLAIM, TX,                                                                        \
	  "SYN of a flow whose backend takes no new flows: that one first, then the newly chosen") \
	X(TX_SYN_UNRECORDED, TX,                                                                   \
	  "SYN of a new flow, not recorded: both buckets hold established flows")                  \
	X(TX_MISS, TX, "segment of a flow not recorded here, to the row's members as hop list")    \
	X(TX_TOO_BIG, TX,                                                                          \
	  "frag-needed or packet-too-big to the client: the segment would not fit when "           \
	  "encapsulated")                                                                          \
	X(DROP_IP_HEADER, DROP, "IP header to a service lies about its version or length")         \
	X(DROP_FRAGMENT, DROP, "fragment to a service address")                                    \
	X(DROP_EXTENSION, DROP, "IPv6 extension header to a service address")                      \
	X(DROP_TCP_HEADER, DROP, "TCP header truncated or with an impossible offset")              \
	X(DROP_TCP_FLAGS, DROP, "TCP flags that no stack sends (none, SYN+FIN, SYN+RST)")          \
	X(DROP_TOMBSTONE, DROP,                                                                    \
	  "the service was deleted; its address stays silent until the tombstone is cleared")      \
	X(DROP_NO_BACKEND, DROP, "the service has no backend that may take the packet")            \
	X(DROP_NO_NEXT_HOP, DROP,                                                                  \
	  "no next hop is known for the backend: no route, or its neighbour does not answer")      \
	X(DROP_TOO_BIG, DROP,                                                                      \
	  "would not fit when encapsulated, and frag-needed is not to be sent (IPv4 without DF, "  \
	  "an ICMP error, a source that is not one host)")                                         \
	X(DROP_NO_HEADROOM, DROP,                                                                  \
	  "the driver leaves no room in front of the frame for the outer headers")                 \
	X(DROP_INTERNAL, DROP,                                                                     \
	  "a table entry that must exist is absent: a defect, please report it")                   \
	X(DROP_HOP_LIMIT, DROP, "packet to a service whose TTL or hop limit is 0")                 \
	X(TX_ICMP_ERROR, TX,                                                                       \
	  "ICMP error about a connection, to the flow's backend or the row's members")             \
	X(TX_ECHO, TX, "ping of a service's address, answered")                                    \
	X(TX_FRAGMENT_REFUSED, TX,                                                                 \
	  "first fragment of a segment to a service, answered with ICMP prohibited")               \
	X(DROP_ICMP_LIMIT, DROP, "would be answered by ICMP, and so much has been of late")        \
	X(TX_SYN_OVER_BUDGET, TX,                                                                  \
	  "SYN of a new flow, not recorded: its service is above its SYN budget")                  \
	X(DROP_DENIED, DROP,                                                                       \
	  "SYN of a new connection whose source the service's lists do not admit")                 \
	X(DROP_SOURCE_RATE, DROP,                                                                  \
	  "SYN of a new connection whose source has opened as many as it may of late")             \
	X(PASS_TAGS, PASS, "two VLAN tags, or one of 802.1ad: nothing that is served")             \
	X(DROP_NO_EGRESS, DROP,                                                                    \
	  "the interface that the backend is behind is gone, or none that packets may leave by")   \
	X(DROP_FULL, DROP,                                                                         \
	  "SYN of a new connection, and every backend that may take it is full (max-conn), or "    \
	  "has been given as many of late as it may (accept-rate)")                                \
	X(DROP_SOURCE_CONNS, DROP, "SYN of a new connection whose source has as many as it may")   \
	X(TX_SYN_REFUSED, TX,                                                                      \
	  "SYN of a new connection that no backend has room for, answered with a reset (shed)")

/* fl_agent, on a backend. */
#define FL_AGENT_VERDICTS(X)                                                                       \
	X(PASS_NOT_TUNNEL, PASS, "not encapsulated for this backend: the host's own traffic")      \
	X(PASS_PLAIN, PASS, "decapsulated, came without a hop list: delivered")                    \
	X(PASS_SYN, PASS, "decapsulated SYN: delivered")                                           \
	X(PASS_SOCKET, PASS, "decapsulated segment of a connection that lives here: delivered")    \
	X(PASS_COOKIE, PASS, "decapsulated ACK with a SYN cookie of this host: delivered")         \
	X(PASS_SETTLED, PASS,                                                                      \
	  "no hop has the connection and the LB host is sure of it: delivered, the stack resets")  \
	X(TX_NEXT_HOP, TX, "no socket here: handed on to the next hop of the list")                \
	X(DROP_SOURCE, DROP,                                                                       \
	  "encapsulated by a host that is neither an LB host nor a backend of the fleet")          \
	X(DROP_TUNNEL_HEADER, DROP,                                                                \
	  "outer UDP or GUE header truncated, or of a version not known here")                     \
	X(DROP_HOP_LIST, DROP,                                                                     \
	  "hop list with impossible index or count, or not addressed to this backend")             \
	X(DROP_INNER, DROP, "inner packet truncated, or neither TCP nor an ICMP error about it")   \
	X(DROP_NOT_SERVICE, DROP, "inner destination is no service of the LB host that sent it")   \
	X(DROP_NOBODY, DROP,                                                                       \
	  "no hop of the list has the connection; dropped, because a reset cannot be taken back")  \
	X(DROP_NO_PEER, DROP,                                                                      \
	  "end of the list, and the hop with a socket for the tuple cannot be reached from here")  \
	X(DROP_INTERNAL, DROP,                                                                     \
	  "a table entry that must exist is absent: a defect, please report it")                   \
	X(PASS_SYN_CLAIM, PASS,                                                                    \
	  "decapsulated SYN of a connection that lives here, though others take new ones")         \
	X(PASS_WEAK, PASS,                                                                         \
	  "no hop is sure of the segment; delivered to the first one with a socket for its tuple") \
	X(TX_WEAK_HOP, TX,                                                                         \
	  "end of the list, no hop is sure: back to the first one with a socket for the tuple")    \
	X(DROP_SKEW, DROP,                                                                         \
	  "no hop has the connection, but the LB host's table or key is not the one known here")   \
	X(DROP_NO_LIST, DROP, "came without a hop list, for a service whose packets all have one") \
	X(DROP_CONGESTION, DROP,                                                                   \
	  "marked as congestion on its way, and the inner packet cannot say so (RFC 6040)")

/* fl_probe, on an LB host's way out: PASS goes on as if there was no program. */
#define FL_PROBE_VERDICTS(X)                                                                       \
	X(PASS_OTHER, PASS, "of no health check: the host's own traffic")                          \
	X(PASS_SENT, PASS, "of a health check, on its way already: by another interface")          \
	X(TX_PROBE, TX, "of a health check, encapsulated for its backend")                         \
	X(TX_UNMARKED, TX,                                                                         \
	  "of a health check whose socket is gone, encapsulated for the same backend")             \
	X(DROP_NOT_SERVICE, DROP, "of a health check of a service that is not there any more")     \
	X(DROP_NO_BACKEND, DROP, "of a health check of a backend that is not there any more")      \
	X(DROP_NO_NEXT_HOP, DROP, "of a health check of a backend that no next hop is known for")  \
	X(DROP_TOO_BIG, DROP, "of a health check, and would not fit when encapsulated")            \
	X(DROP_SEGMENT, DROP, "has the mark of a health check, and is no whole TCP segment")       \
	X(DROP_INTERNAL, DROP, "the kernel leaves no room for the outer headers")

#define FL_VERDICT_ENUM_LB(name, action, help)	  FL_LB_##name,
#define FL_VERDICT_ENUM_AGENT(name, action, help) FL_AGENT_##name,
#define FL_VERDICT_ENUM_PROBE(name, action, help) FL_PROBE_##name,

enum fl_lb_verdict { FL_LB_VERDICTS(FL_VERDICT_ENUM_LB) FL_LB_VERDICT_COUNT };
enum fl_agent_verdict { FL_AGENT_VERDICTS(FL_VERDICT_ENUM_AGENT) FL_AGENT_VERDICT_COUNT };
enum fl_probe_verdict { FL_PROBE_VERDICTS(FL_VERDICT_ENUM_PROBE) FL_PROBE_VERDICT_COUNT };

/* What a step returns when the packet goes on to the next step. */
#define FL_CONTINUE (-1)
