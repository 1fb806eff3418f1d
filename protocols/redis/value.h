/* The first line of a value: what it is, how long or of how many elements. */
#ifndef PROTOCOLS_REDIS_VALUE_H
#define PROTOCOLS_REDIS_VALUE_H

#include "protocols/redis/redis.h"
#include "protocols/redis/resp.h"

enum shape { SHAPE_BAD, SHAPE_LINE, SHAPE_BULK, SHAPE_AGGREGATE };

struct value {
	uint8_t mark;  /* its first byte */
	uint8_t shape; /* enum shape */
	enum redis_type type;
	int64_t n;	   /* length or elements; RESP_STREAMED */
	size_t used;	   /* bytes of the line */
	struct slice text; /* what stands on it */
	bool cut;	   /* the line goes on behind `used` */
};

/* The one that s begins with; its slices are borrowed from s. RESP_BAD: s begins with none. */
enum resp_got value_get(struct slice s, struct value *v);

/* How many elements an aggregate that begins with this byte has for each that is counted. */
unsigned int value_times(uint8_t mark);

#endif
