/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the pure headers of this folder need from their compiler, in BPF and on the host alike:
 * inlining, byte order, single untorn accesses and compare-and-swap.
 */
#pragma once

#include "fairlead/abi/types.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

static __always_inline __u16 fl_swap16(__u16 value)
{
	return __builtin_bswap16(value);
}

static __always_inline __u32 fl_swap32(__u32 value)
{
	return __builtin_bswap32(value);
}

/* The address `bytes` past `pointer`: C++ has no arithmetic on void *. */
static __always_inline void *fl_after(const void *pointer, unsigned long bytes)
{
	return (__u8 *)pointer + bytes;
}

/* Copies of a loop of constant length, where the compiler is clang and would not make them by
 * itself. */
#ifdef __clang__
#define FL_UNROLL _Pragma("unroll")
#else
#define FL_UNROLL
#endif

/* One 8-byte load or store that the compiler neither splits, repeats nor moves across another such
 * access. */
static __always_inline __u64 fl_load64(const __u64 *address)
{
	return *(const volatile __u64 *)address;
}

static __always_inline void fl_store64(__u64 *address, __u64 value)
{
	*(volatile __u64 *)address = value;
}

/* True when *address was `expected` and is now `desired`. A full barrier on x86-64. */
static __always_inline int fl_cas64(__u64 *address, __u64 expected, __u64 desired)
{
	return __sync_val_compare_and_swap(address, expected, desired) == expected;
}

static __always_inline int fl_cas32(__u32 *address, __u32 expected, __u32 desired)
{
	return __sync_val_compare_and_swap(address, expected, desired) == expected;
}

/* Stores `value`, and returns what was there. A full barrier on x86-64. */
static __always_inline __u32 fl_swap_in32(__u32 *address, __u32 value)
{
	return __sync_lock_test_and_set(address, value);
}

/* The compiler must take `value` as unknown from here on, and cannot turn arithmetic on it back
 * into a branch. */
#define fl_opaque(value) asm volatile("" : "+r"(value))

/* `value & mask`, also where the compiler knows that `value` has no other bits: the verifier of an
 * older kernel often does not, and wants to see it. */
static __always_inline __u32 fl_masked(__u64 value, __u32 mask)
{
	fl_opaque(value);
	return (__u32)value & mask;
}

/*
 * A constant of .rodata by address, without its `volatile`. The compiler must not know where it
 * points: it would see the zeros that the source has there, and fold them into the program instead
 * of what is written before the load.
 */
static __always_inline const void *fl_rodata(const volatile void *constant)
{
	const void *address = (const void *)constant;

	fl_opaque(address);
	return address;
}

/*
 * Truth as 0 or 1 and choice by arithmetic, for code that would otherwise branch once per slot or
 * per hop: every such branch doubles the paths that the verifier walks, and is mispredicted half of
 * the time.
 */
static __always_inline __u32 fl_differ64(__u64 a, __u64 b)
{
	__u64 difference = a ^ b;

	difference |= -difference;
	fl_opaque(difference);
	return (__u32)(difference >> 63);
}

static __always_inline __u32 fl_differ(__u32 a, __u32 b)
{
	return fl_differ64(a, b);
}

/* Requires: both below 2^31. */
static __always_inline __u32 fl_below(__u32 a, __u32 b)
{
	__u64 difference = (__u64)a - b;

	fl_opaque(difference);
	return (__u32)(difference >> 63);
}

/* `yes` if `condition` is 1, `no` if it is 0. */
static __always_inline __u32 fl_select(__u32 condition, __u32 yes, __u32 no)
{
	__u64 mask = -(__u64)condition;

	fl_opaque(mask);
	return no ^ ((no ^ yes) & (__u32)mask);
}
