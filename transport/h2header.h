/* Header fields for nghttp2, which takes them as bytes that are not const. */
#ifndef TRANSPORT_H2HEADER_H
#define TRANSPORT_H2HEADER_H

#include "base/slice.h"

#include <nghttp2/nghttp2.h>

/* Name and value are literals or outlive the submit call. */
static inline nghttp2_nv h2_header(const char *name, struct slice value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
			     .value = (uint8_t *)(uintptr_t)value.p,
			     .namelen = __builtin_strlen(name),
			     .valuelen = value.n };
}

#endif
