// The maps of an LB host as open file descriptors, borrowed from a Program.
#pragma once

namespace fairlead::datapath {

struct MapFds {
  int services = -1;
  int rows = -1;
  int backends = -1;
  int load = -1;
  int flows = -1;
  int verdicts = -1;
  int service_stats = -1;
  int backend_stats = -1;
  int leases = -1;
  int prefixes = -1;
  int limits = -1;
  int egress = -1;
  int source_stats = -1;
  int source_conns = -1;
  int flow_sources = -1;
  int trace = -1;
  int traced = -1;
};

}  // namespace fairlead::datapath
