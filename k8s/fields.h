/* The fields of Kubernetes' messages that are read, as tables that the decoders of protobuf
 * (k8s/pb.h) and JSON (k8s/json.h) share: a field's number in the one, its name in the other, and
 * where it goes. No message contains itself, so the tables bound how deep a decoder goes.
 */
#ifndef K8S_FIELDS_H
#define K8S_FIELDS_H

#include "k8s/objects.h"

#define FIELD_ELEMENT_MAX 512 /* bytes of one element while it is read */

enum field_type {
	FIELD_TEXT = 1, /* struct slice */
	FIELD_BOOL,	/* bool */
	FIELD_TRI,	/* uint8_t, enum field_tri: absent is no answer */
	FIELD_U32,	/* uint32_t; what does not fit is 0 */
	FIELD_PORT,	/* uint16_t; what does not fit is 0 */
	FIELD_TIME,	/* int64_t, unix ns; protobuf Time{seconds = 1, nanos = 2}, JSON RFC 3339 */
	FIELD_MESSAGE,	/* a message in this one; its fields go to base + offset */
	FIELD_TEXTS,	/* add() takes each text, a struct slice */
	FIELD_EACH,	/* add() takes each message, as `of` describes it */
	FIELD_MAP,	/* add() takes each entry, a struct field_pair */
	FIELD_RAW,	/* struct slice: bytes in protobuf, the value's source text in JSON */
};

enum field_tri { FIELD_ABSENT, FIELD_FALSE, FIELD_TRUE };

struct field_pair {
	struct slice key, value;
};

struct field {
	uint16_t number;  /* protobuf; 0: only in JSON */
	uint8_t type;	  /* enum field_type */
	const char *name; /* JSON; NULL: only in protobuf */
	size_t offset;	  /* from the base, in bytes */
	const struct fields *of;
	void (*add)(void *base, const void *element);
};

struct fields {
	const struct field *rows;
	size_t n;
	size_t size; /* bytes of an element of FIELD_EACH */
};

/* What is around the objects. */
struct k8s_list_meta {
	struct slice resource_version, cont; /* cont: continue, "" at the last page */
};

struct k8s_status {
	struct slice message, reason;
	uint32_t code, retry_after_s;
	bool too_large; /* the resourceVersion asked for lies in this server's future */
};

struct k8s_watch_event {
	struct slice type, object;
};

struct k8s_envelope { /* runtime.Unknown, behind its magic */
	struct slice api_version, kind, raw, encoding;
};

struct k8s_bookmark {
	struct slice resource_version;
	bool initial_end; /* annotation k8s.io/initial-events-end */
};

extern const struct fields k8s_list_meta_fields, k8s_status_fields, k8s_watch_event_fields,
	k8s_envelope_fields, k8s_bookmark_fields;
extern const struct fields k8s_pair_fields;
/* Of an object of a kind; the base is a struct k8s_object. */
const struct fields *k8s_object_fields(enum k8s_kind kind);

/* NULL when the field is none that is read. */
const struct field *field_by_number(const struct fields *t, uint64_t number);
const struct field *field_by_name(const struct fields *t, struct slice name);
/* Stores a value where f says; a value that is not of the field's type changes nothing. */
void field_put_text(const struct field *f, void *base, struct slice v);
void field_put_num(const struct field *f, void *base, int64_t v);

#endif
