#include "k8s/resources.h"

const struct k8s_resource_names *k8s_resource_names(enum k8s_kind kind)
{
	static const struct k8s_resource_names names[_K8S_KIND_MAX] = {
		[K8S_POD] = { "pods", "/api/v1/pods", "Pod", false },
		[K8S_SERVICE] = { "services", "/api/v1/services", "Service", false },
		[K8S_ENDPOINT_SLICE] = { "endpointslices",
					 "/apis/discovery.k8s.io/v1/endpointslices",
					 "EndpointSlice", false },
		[K8S_NODE] = { "nodes", "/api/v1/nodes", "Node", false },
		[K8S_NAMESPACE] = { "namespaces", "/api/v1/namespaces", "Namespace", true },
		[K8S_JOB] = { "jobs", "/apis/batch/v1/jobs", "Job", true },
	};

	return &names[kind];
}
