/* Small words used everywhere: ownership, array length, checked arithmetic. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _MIN(a, b, x, y)                                                                           \
	({                                                                                         \
		__typeof__(a) x = (a);                                                             \
		__typeof__(b) y = (b);                                                             \
		x < y ? x : y;                                                                     \
	})
#define _MIN_AT(a, b, n) _MIN_N(a, b, n)
#define _MIN_N(a, b, n)	 _MIN(a, b, _a##n, _b##n)
#define MIN(a, b)	 _MIN_AT(a, b, __COUNTER__)
#define _MAX(a, b, x, y)                                                                           \
	({                                                                                         \
		__typeof__(a) x = (a);                                                             \
		__typeof__(b) y = (b);                                                             \
		x > y ? x : y;                                                                     \
	})
#define _MAX_AT(a, b, n)		_MAX_N(a, b, n)
#define _MAX_N(a, b, n)			_MAX(a, b, _a##n, _b##n)
#define MAX(a, b)			_MAX_AT(a, b, __COUNTER__)
#define container_of(ptr, type, member) ((type *)(void *)((uintptr_t)(ptr)-offsetof(type, member)))

#define likely(x)	    __builtin_expect(!!(x), 1)
#define unlikely(x)	    __builtin_expect(!!(x), 0)
#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))

/* _cleanup_(x_freep) struct x *p = NULL; ... *ret = TAKE_PTR(p); */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _take = (p);                                                         \
		(p) = NULL;                                                                        \
		_take;                                                                             \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _take = (fd);                                                                  \
		(fd) = -1;                                                                         \
		_take;                                                                             \
	})
/* DEFINE_CLEANUP(struct x, x_free) defines x_freep for _cleanup_. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void fn##p(type **p)                                                         \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Closes *fd when it is open, keeps errno. */
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define ckd_add(ret, a, b) __builtin_add_overflow((a), (b), (ret))
#define ckd_mul(ret, a, b) __builtin_mul_overflow((a), (b), (ret))

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL
#define KIB	      (1024UL)
#define MIB	      (1024UL * 1024UL)

#endif
