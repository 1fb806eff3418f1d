/* Kubernetes' JSON: an object of the kind that the first byte names, as it stands alone and in an event of
 * a watch. Work is linear in the bytes, and bytes around the text are left alone.
 */
#include "k8s/json.h"
#include "tests/fuzz/work.h"

#include <stdlib.h>

static const struct work_bound bound = { "k8s_json", 1024, 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct k8s_object object;
	struct k8s_watch_event event = { 0 };
	struct k8s_status status = { 0 };
	enum k8s_kind kind = K8S_POD;
	uint8_t *copy = malloc(size + 1);

	if (size > 0) {
		kind = (enum k8s_kind)(1 + data[0] % (_K8S_KIND_MAX - 1));
		data++;
		size--;
	}
	work_begin();
	memcpy(copy, data, size);
	k8s_json_object(kind, copy, size, &object);
	memcpy(copy, data, size);
	k8s_json_read(&k8s_status_fields, &status, copy, size);
	memcpy(copy, data, size);
	if (k8s_json_read(&k8s_watch_event_fields, &event, copy, size) == 0 && event.object.n > 0)
		k8s_json_object(kind, copy + (event.object.p - copy), event.object.n, &object);
	work_end(&bound, size);
	free(copy);
	return 0;
}
