/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What every file of the kernel-user contract starts from: fixed-width types and an assertion that
 * both languages have. Each file of this folder is valid C11 and C++20, and holds types, constants
 * and tiny pure inlines only.
 */
#pragma once

#include <linux/types.h>

#ifndef __cplusplus
#define FL_STATIC_ASSERT(condition, why) _Static_assert(condition, why)
#else
#define FL_STATIC_ASSERT(condition, why) static_assert(condition, why)
#endif
