/* What the API server calls the kinds that are watched. */
#ifndef K8S_RESOURCES_H
#define K8S_RESOURCES_H

#include "k8s/objects.h"

struct k8s_resource_names {
	const char *plural; /* for people */
	const char *path;
	const char *kind;
	bool metadata_only; /* asked for as PartialObjectMetadata */
};

const struct k8s_resource_names *k8s_resource_names(enum k8s_kind kind);

#endif
