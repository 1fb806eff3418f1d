/* What the files of this module share. */
#ifndef CONFIG_CONFIG_INT_H
#define CONFIG_CONFIG_INT_H

#include "config/config.h"

#define CONFIG_WHY_MAX	320
#define CONFIG_NAME_MAX 64

/* Checks text against the key's type and range and stores it. For CONFIG_LIST: adds one entry.
 * 0, or -EINVAL with the reason in why (CONFIG_WHY_MAX bytes). */
int config_value_set(struct config *c, const struct config_key *key, struct slice text, char *why);
/* The same for texts where a list is written "a,b,c": replaces the list. */
int config_value_set_flat(struct config *c, const struct config_key *key, struct slice text,
			  char *why);
void config_value_clear_list(struct config *c, const struct config_key *key);

/* Reads the whole document into c. 0 or a negative errno with reterr set. */
int config_yaml_read(struct config *c, const char *path, struct config_diag *reterr);

/* The key or section of the same depth whose name is nearest to a mistyped one, in ret
 * (CONFIG_NAME_MAX bytes); false when nothing is near. */
bool config_nearest(const char *name, char *ret);
/* Whether some key starts with "name." */
bool config_is_section(const char *name);

#endif
