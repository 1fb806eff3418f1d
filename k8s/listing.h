/* The answer to a LIST, cut into its items as it comes: a list of 100,000 pods is half a gigabyte, and
 * none of it but one item is held.
 *
 *	protobuf	"k8s\0", Unknown{ raw = 2: XList{ metadata = 1, items = 2 repeated } }
 *	JSON		{ "metadata": {…}, "items": [ {…}, … ], … }
 */
#ifndef K8S_LISTING_H
#define K8S_LISTING_H

#include "k8s/frame.h"

enum listing_what { LISTING_ITEM, LISTING_META };

struct listing {
	struct strbuf held;
	enum frame_format format;
	uint8_t state; /* enum in listing.c */
	bool whole, done;
	/* protobuf */
	bool inside;   /* the list, not Unknown */
	uint64_t left; /* bytes of the list */
	uint64_t v;    /* varint, or bytes to go */
	uint8_t shift, wire;
	uint64_t number;
	/* JSON */
	uint32_t depth, outside; /* outside: depth around what is collected */
	char key[16];		 /* of the outermost object, the first bytes */
	uint8_t n_key;
	bool in_string, escaped, in_value, in_items, collecting;
};

void listing_init(struct listing *l, enum frame_format format);
void listing_done(struct listing *l);
/* Takes from the front of *in; *ret_what says what *ret is. */
enum frame_result listing_next(struct listing *l, struct slice *in, struct frame *ret,
			       enum listing_what *ret_what);
/* Whether the list was there to its end. */
bool listing_complete(const struct listing *l);

#endif
