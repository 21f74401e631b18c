/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

#include <stdint.h>            // <- finding
#include "base/ip_address.h"   // <- finding
#include <linux/bpf.h>         // <- finding
