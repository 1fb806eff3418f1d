/* Kubernetes' protobuf: an object of the kind that the first byte names; behind its envelope when that is
 * there. Work is linear in the bytes; texts lie in what was given.
 */
#include "k8s/pb.h"
#include "tests/fuzz/work.h"

static const struct work_bound bound = { "k8s_pb", 512, 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct k8s_object object;
	struct k8s_status status = { 0 };
	struct k8s_bookmark mark = { 0 };
	struct k8s_envelope e;
	struct slice in = slice_of(data, size);
	enum k8s_kind kind = K8S_POD;

	if (size > 0) {
		kind = (enum k8s_kind)(1 + data[0] % (_K8S_KIND_MAX - 1));
		in = slice_from(in, 1);
	}
	work_begin();
	if (k8s_pb_envelope(in, &e) == 0)
		in = e.raw;
	k8s_pb_object(kind, in, &object);
	k8s_pb_read(&k8s_status_fields, &status, in);
	k8s_pb_read(&k8s_bookmark_fields, &mark, in);
	work_end(&bound, size);
	return 0;
}
