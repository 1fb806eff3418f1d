#include "protocols/http1/pairing.h"
#include "base/util.h"

static void class_set(struct pairing *p, uint64_t key, enum request_class class)
{
	unsigned int i = (unsigned int)(key % HTTP1_OUTSTANDING_MAX);
	unsigned int shift = i % 4 * 2;
	unsigned int old = p->classes[i / 4];

	p->classes[i / 4] = (uint8_t)((old & ~(3u << shift)) | (unsigned int)class << shift);
}

static enum request_class class_get(const struct pairing *p, uint64_t key)
{
	unsigned int i = (unsigned int)(key % HTTP1_OUTSTANDING_MAX);

	return (enum request_class)(p->classes[i / 4] >> i % 4 * 2 & 3);
}

/* The oldest open request leaves; returns its key. */
static uint64_t pop(struct pairing *p)
{
	uint64_t key = p->next_key - p->open;

	p->open--;
	p->doubtful = MIN(p->doubtful, p->open);
	if (p->before_loss > 0 && --p->before_loss == 0) {
		p->hopeless = true; /* an unknown number of requests comes next */
		p->open = p->doubtful = 0;
	}
	return key;
}

uint64_t pairing_request(struct pairing *p, enum request_class class)
{
	if (p->request_lost && p->open > 0)
		p->before_loss = p->open;
	else if (p->request_lost && p->pipelined)
		p->hopeless = true; /* rule 2 */
	p->request_lost = false;
	if (p->hopeless)
		return p->next_key++;
	class_set(p, p->next_key, class);
	p->open++;
	return p->next_key++;
}

static uint64_t orphan_key(struct pairing *p, enum request_class *ret_class)
{
	*ret_class = CLASS_UNKNOWN;
	return KEY_ORPHAN | p->next_orphan++;
}

/* Rule 2: one of the open requests is answered, but which? */
static uint64_t pair_doubtful(struct pairing *p, enum request_class *ret_class)
{
	if (p->open > 0)
		pop(p);
	return orphan_key(p, ret_class);
}

uint64_t pairing_response(struct pairing *p, bool orphan, enum request_class *ret_class)
{
	uint64_t key;

	if (orphan)
		return orphan_key(p, ret_class);
	if (p->response_lost && !p->pipelined && p->open > 0) {
		p->open = 1; /* rule 1 */
		p->before_loss = 0;
	} else if (!p->response_lost && p->open > 1) {
		p->pipelined = true;
	}
	p->response_lost = false;
	if (p->hopeless || p->doubtful > 0 || p->open == 0)
		return pair_doubtful(p, ret_class);
	key = p->next_key - p->open;
	*ret_class = class_get(p, key);
	pop(p);
	return key;
}

void pairing_lost_requests(struct pairing *p)
{
	p->request_lost = true;
}

void pairing_lost_responses(struct pairing *p)
{
	p->response_lost = true;
	if (p->pipelined)
		p->doubtful = p->open;
}

void pairing_give_up(struct pairing *p)
{
	if (p->open == 0)
		return;
	pop(p);
	p->doubtful = p->open;
	p->pipelined = true;
}
