/* An object as one line of text: whatever the decoders read of it, for tests. */
#ifndef TESTS_K8S_SHOW_H
#define TESTS_K8S_SHOW_H

#include "base/strbuf.h"
#include "k8s/objects.h"

const char *show_kind(enum k8s_kind kind);
/* The kind of that name, 0: none. */
enum k8s_kind show_kind_named(struct slice name);
void show_object(struct strbuf *out, const struct k8s_object *o);

#endif
