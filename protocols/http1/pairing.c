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

static void give_up_pairing(struct pairing *p)
{
	p->hopeless = true;
	p->open = p->doubtful = p->before_loss = 0;
}

/* The client pipelines: what was taken for granted before does not hold for requests that were
 * lost. */
static void note_pipelined(struct pairing *p)
{
	p->pipelined = true;
	if (p->unsettled && p->before_loss == 0)
		give_up_pairing(p);
}

/* The oldest open request leaves. */
static void pop(struct pairing *p)
{
	p->open--;
	p->doubtful = MIN(p->doubtful, p->open);
	if (p->before_loss > 0 && --p->before_loss == 0)
		give_up_pairing(p); /* an unknown number of requests comes next */
}

uint64_t pairing_request(struct pairing *p, enum request_class class)
{
	if (p->request_lost && p->open > 0 && p->doubtful == 0)
		p->before_loss = p->open;
	else if (p->request_lost && p->pipelined)
		give_up_pairing(p); /* rule 2 */
	p->request_lost = p->orphan_seen = false;
	if (p->hopeless)
		return p->next_key++;
	class_set(p, p->next_key, class);
	p->open++;
	return p->next_key++;
}

static uint64_t orphan_key(struct pairing *p, enum request_class *ret_class)
{
	p->owed = false;
	p->orphan_seen = true;
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

/* After a loss of response bytes with several requests open: whether rule 1 may be used. */
static void judge_client(struct pairing *p, uint64_t off)
{
	if (p->suspect || p->pipelined || !p->response_lost || p->open < 2)
		return;
	if (p->alternations >= (p->unsettled ? 4 : 1) &&
	    (off - p->lost_from) / RESPONSE_MIN >= p->open - 1)
		return;
	p->doubtful = p->open;
	note_pipelined(p);
}

bool pairing_in_doubt(struct pairing *p, uint64_t off)
{
	judge_client(p, off);
	if (p->hopeless || p->requests_over || p->request_lost || p->open == 0)
		return false;
	if (!p->response_lost || p->pipelined)
		return false;
	if (p->suspect == 0) {
		p->suspect_void = false;
		p->suspect = p->next_key;
	}
	return p->suspect == p->next_key;
}

/* Rule 1: the newest request is answered, or one that was lost. */
static uint64_t pair_newest(struct pairing *p, bool orphan, enum request_class *ret_class)
{
	uint64_t newest = (p->suspect ? p->suspect : p->next_key) - 1;

	orphan |= p->suspect ? p->suspect_void : p->request_lost;
	p->before_loss = 0;
	p->suspect = 0;
	p->suspect_void = false;
	p->response_lost = false;
	p->open = (uint32_t)(p->next_key - newest);
	*ret_class = class_get(p, newest);
	pop(p);
	return orphan ? orphan_key(p, ret_class) : newest;
}

uint64_t pairing_response(struct pairing *p, uint64_t off, bool orphan,
			  enum request_class *ret_class)
{
	uint64_t key;

	judge_client(p, off);
	if (p->response_lost && !p->pipelined && p->open > 0)
		return pair_newest(p, orphan, ret_class);
	if (orphan)
		return orphan_key(p, ret_class);
	if (p->owed && p->open > 0 && p->before_loss == 0)
		note_pipelined(p); /* else it had come before the next request */
	if (!p->response_lost && p->open > 1)
		note_pipelined(p);
	p->response_lost = false;
	if (p->hopeless || p->doubtful > 0 || p->open == 0)
		return pair_doubtful(p, ret_class);
	key = p->next_key - p->open;
	*ret_class = class_get(p, key);
	pop(p);
	if (p->open == 0) {
		if (p->alternations < UINT8_MAX)
			p->alternations++;
		p->unsettled = false;
	}
	return key;
}

void pairing_lost_requests(struct pairing *p, bool whole)
{
	p->unsettled = true;
	p->suspect_void |= p->suspect == p->next_key;
	p->owed |= whole && !p->orphan_seen && !p->response_lost;
	p->request_lost = true;
}

void pairing_lost_responses(struct pairing *p, uint64_t off)
{
	if (!p->response_lost)
		p->lost_from = off;
	p->response_lost = true;
	p->suspect = 0;
	p->suspect_void = false;
	p->owed = false; /* the answer may be what is lost */
	if (p->pipelined && p->before_loss > 0)
		give_up_pairing(p);
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
