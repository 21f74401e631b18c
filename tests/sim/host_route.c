/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#include "tests/sim/host_route.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/route.h"

static struct fl_host_tables tables;
static __u64 now_ns;
static struct fl_syn_window window;
static struct fl_syn_batch batch;

static __u64 bpf_ktime_get_coarse_ns(void)
{
	return now_ns;
}

static void *bpf_map_lookup_elem(void *map, const void *key)
{
	const __u32 index = *(const __u32 *)key;

	if (map == &fl_rows)
		return index < tables.row_count ? (void *)&tables.rows[index] : NULL;
	if (map == &fl_backends)
		return index < tables.backend_count ? &tables.backends[index] : NULL;
	if (map == &fl_load)
		return index < tables.backend_count ? &tables.load[index] : NULL;
	if (map == &fl_flows && index <= tables.flow_bucket_mask)
		return &tables.flows[index];
	if (map == &fl_svc_stats)
		return tables.service;
	if (map == &fl_syn_windows)
		return &window;
	if (map == &fl_syn_batches)
		return &batch;
	abort();
}

/* The program's constants are written before it is loaded; here the page that they are on is
 * read-only by now. */
static struct fl_config *writable_config(void)
{
	static struct fl_config *config;
	const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	unsigned long begin, end;

	if (config)
		return config;
	config = (struct fl_config *)fl_rodata(&fl_config);
	begin = (unsigned long)config & ~(page - 1);
	end = (unsigned long)(config + 1);
	if (mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE))
		abort();
	return config;
}

struct fl_host_verdict fl_host_route(const struct fl_host_tables *of,
				     const struct fl_service *service,
				     const struct fl_host_segment *segment, __u64 now)
{
	struct fl_config *config = writable_config();
	struct fl_packet packet;
	struct fl_route route;

	tables = *of;
	now_ns = now;
	config->flow_bucket_mask = tables.flow_bucket_mask;
	config->timeouts = tables.timeouts;
	memset(&packet, 0, sizeof(packet));
	memset(&route, 0, sizeof(route));
	fl_map_ipv4(packet.client, segment->client);
	fl_map_ipv4(packet.service.address, segment->address);
	packet.client_port = segment->client_port;
	packet.service.port = segment->port;
	packet.service.proto = IPPROTO_TCP;
	packet.tcp_flags = segment->tcp_flags;
	packet.is_ipv4 = 1;
	route.verdict = fl_route_segment(&packet, service, &route);
	return (struct fl_host_verdict){ route.verdict, route.target, route.row };
}
