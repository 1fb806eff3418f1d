#include "transport/gate_int.h"

#include "transport/grpc.h"
#include "transport/h2header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct call *call_of(nghttp2_session *s, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(s, stream_id);
}

static int call_error(struct call *c, uint32_t code)
{
	return nghttp2_submit_rst_stream(c->visitor->h2.session, NGHTTP2_FLAG_NONE, c->id, code);
}

static void local_ready(struct watch *w, uint32_t events)
{
	struct call *c = container_of(w, struct call, bridge.watch);

	(void)events;
	if (!c->bridged || c->visitor->h2.over)
		return;
	if (bridge_local_ready(&c->bridge) < 0)
		call_error(c, NGHTTP2_CANCEL);
	visitor_turn(c->visitor);
}

void call_init(struct call *c, struct visitor *v)
{
	*c = (struct call){ .visitor = v, .bridge = { .watch = { local_ready }, .fd = -1 } };
}

void call_end(struct call *c)
{
	if (c->bridged) {
		bridge_close(&c->bridge);
		c->bridged = false;
		visitor_lose_call(c->visitor);
	}
	free(c->token);
	call_init(c, c->visitor);
}

static ssize_t read_local(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
			  nghttp2_data_source *source, void *ctx)
{
	const nghttp2_nv trailers[] = { h2_header("grpc-status", slice_str(GRPC_OK)) };
	ssize_t got = bridge_read(source->ptr, buf, n);

	(void)ctx;
	if (got == -EAGAIN)
		return NGHTTP2_ERR_DEFERRED;
	if (got < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (got == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s, id, trailers, ARRAY_SIZE(trailers));
	}
	return got;
}

/* An answer of headers alone. */
static int refuse(struct call *c, const char *status, const char *message)
{
	const nghttp2_nv headers[] = {
		h2_header(":status", slice_str("200")),
		h2_header("content-type", slice_str("application/grpc")),
		h2_header("grpc-status", slice_str(status)),
		h2_header("grpc-message", slice_str(message)),
	};

	gate_count(&c->visitor->gate->cfg.counts->calls_refused);
	c->answered = true;
	return nghttp2_submit_response(c->visitor->h2.session, c->id, headers, ARRAY_SIZE(headers),
				       NULL);
}

static int admit(struct call *c)
{
	struct visitor *v = c->visitor;
	const nghttp2_nv headers[] = {
		h2_header(":status", slice_str("200")),
		h2_header("content-type", slice_str("application/grpc")),
	};
	const nghttp2_data_provider body = { .source = { .ptr = &c->bridge },
					     .read_callback = read_local };
	int fd = v->gate->cfg.ops->admit(v->gate->cfg.ctx, slice_of(c->token, c->n_token));

	if (fd == -EACCES)
		return refuse(c, GRPC_UNAUTHENTICATED, "this token is not accepted");
	if (fd < 0 || bridge_open(&c->bridge, &v->h2, c->id, fd, local_ready) < 0)
		return refuse(c, GRPC_UNAVAILABLE, "not now");
	c->bridged = c->answered = true;
	visitor_gain_call(v);
	gate_count(&v->gate->cfg.counts->calls_admitted);
	return nghttp2_submit_response(v->h2.session, c->id, headers, ARRAY_SIZE(headers), &body);
}

static int headers_over(struct call *c)
{
	gate_count(&c->visitor->gate->cfg.counts->calls);
	if (!c->post || !c->grpc)
		return refuse(c, GRPC_UNKNOWN, "this is no gRPC call");
	if (!c->uplink)
		return refuse(c, GRPC_UNIMPLEMENTED, "there is no such method");
	if (!c->token)
		return refuse(c, GRPC_UNAUTHENTICATED, "authorization: Bearer TOKEN is missing");
	return admit(c);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *ctx)
{
	struct visitor *v = ctx;

	(void)s;
	if (hd->type == NGHTTP2_DATA)
		return 0;
	return bucket_take(&v->frames, v->gate->now_ns, GATE_FRAMES_BURST, GATE_FRAMES_RATE)
		       ? 0
		       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	struct visitor *v = ctx;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++) {
		struct call *c = &v->calls[i];

		if (c->id)
			continue;
		c->id = frame->hd.stream_id;
		nghttp2_session_set_stream_user_data(s, c->id, c);
		return 0;
	}
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
		     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *ctx)
{
	struct call *c = call_of(s, frame->hd.stream_id);
	struct slice key = slice_of(name, n_name), v = slice_of(value, n_value);
	static const char bearer[] = "Bearer ";

	(void)flags;
	(void)ctx;
	if (!c || c->answered)
		return 0;
	if (slice_eq_str(key, ":method"))
		c->post = slice_eq_str(v, "POST");
	else if (slice_eq_str(key, ":path"))
		c->uplink = slice_eq_str(v, GRPC_UPLINK_PATH);
	else if (slice_eq_str(key, "content-type"))
		c->grpc = slice_eq_str(slice_head(v, 16), "application/grpc");
	if (!slice_eq_str(key, "authorization") || c->token || v.n < 7 ||
	    !slice_eq_str(slice_head(v, 7), bearer) || v.n - 7 > GRPC_TOKEN_MAX)
		return 0;
	v = slice_from(v, 7);
	c->token = malloc(v.n + 1);
	if (!c->token)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(c->token, v.p, v.n);
	c->n_token = v.n;
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	struct call *c = call_of(s, frame->hd.stream_id);
	int err = 0;

	(void)ctx;
	if (!c)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && !c->answered)
		err = headers_over(c);
	if (c->bridged && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		bridge_peer_over(&c->bridge);
	return err ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
		   void *ctx)
{
	struct call *c = call_of(s, id);

	(void)flags;
	(void)ctx;
	if (!c || !c->bridged) { /* nobody's: its room is given back */
		nghttp2_session_consume(s, id, n);
		return 0;
	}
	if (bridge_take(&c->bridge, slice_of(data, n)) < 0)
		call_error(c, NGHTTP2_CANCEL);
	return 0;
}

/* Our last word on a call whose peer goes on: nothing more of it is wanted (RFC 9113, section 8.1). */
static int on_sent(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	int32_t id = frame->hd.stream_id;

	(void)ctx;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    nghttp2_session_get_stream_remote_close(s, id) == 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
	struct call *c = call_of(s, id);

	(void)code;
	(void)ctx;
	if (c)
		call_end(c);
	return 0;
}

int gate_make_callbacks(struct gate *g)
{
	if (nghttp2_session_callbacks_new(&g->callbacks) != 0 ||
	    nghttp2_option_new(&g->option) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_frame_callback(g->callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(g->callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(g->callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(g->callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(g->callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(g->callbacks, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(g->callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(g->option, 1);
	nghttp2_option_set_no_closed_streams(g->option, 1);
	nghttp2_option_set_max_outbound_ack(g->option, 100);
	nghttp2_option_set_stream_reset_rate_limit(g->option, 50, 5);
	return 0;
}

int gate_start_session(struct visitor *v)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GATE_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GATE_HEADERS_BYTES },
	};

	if (nghttp2_session_server_new2(&v->h2.session, v->gate->callbacks, v, v->gate->option) !=
	    0)
		return -ENOMEM;
	if (nghttp2_submit_settings(v->h2.session, NGHTTP2_FLAG_NONE, settings,
				    ARRAY_SIZE(settings)) != 0 ||
	    nghttp2_session_set_local_window_size(v->h2.session, NGHTTP2_FLAG_NONE, 0,
						  H2_CONN_WINDOW) != 0)
		return -ENOMEM;
	return 0;
}
