#include "storage/scan_int.h"

struct memseg *memseg_new(struct segbuf *buf, uint32_t bucket_no, uint64_t first_row)
{
	struct memseg *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->refs = 1;
	m->bucket_no = bucket_no;
	strbuf_init(&m->desc_bytes, SEG_DESC_MAX);
	buf->desc->first_row = first_row;
	buf->desc->seg_no = 0;
	seg_desc_write(&m->desc_bytes, buf->desc);
	strbuf_init(&m->data, SEG_DATA_MAX);
	strbuf_add(&m->data, buf->data.p,
		   buf->data.len); /* as long as it is: buf has room for more */
	if (m->desc_bytes.failed || m->data.failed ||
	    seg_desc_parse(strbuf_slice(&m->desc_bytes), &m->desc) < 0) {
		memseg_put(m);
		return NULL;
	}
	return m;
}

struct memseg *memseg_get(struct memseg *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void memseg_put(struct memseg *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
		return;
	strbuf_done(&m->desc_bytes);
	strbuf_done(&m->data);
	free(m);
}
