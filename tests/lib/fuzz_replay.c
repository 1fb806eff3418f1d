/* Replays a fuzz corpus: every file of the folders and every file named on the command line is
 * given once to LLVMFuzzerTestOneInput(), in an allocation of exactly its size so that a read past
 * the end is seen. Prints one line per file, as a test program does; an empty corpus is a failure.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static bool replay_file(const char *path, size_t size_bytes)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size_bytes ? size_bytes : 1);
	bool ok = f && data && fread(data, 1, size_bytes, f) == size_bytes;

	if (ok)
		LLVMFuzzerTestOneInput(data, size_bytes);
	if (f)
		fclose(f);
	free(data);
	printf("%s %s\n", ok ? "ok" : "not ok", path);
	fflush(stdout);
	replayed++;
	return ok;
}

static bool replay_path(const char *path);

static bool replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	bool ok = dir != NULL;

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char child[4096];

		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >=
		    sizeof(child))
			ok = false;
		else
			ok = replay_path(child) && ok;
	}
	if (dir)
		closedir(dir);
	return ok;
}

static bool replay_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		printf("not ok %s: cannot be read\n", path);
		return false;
	}
	return S_ISDIR(st.st_mode) ? replay_folder(path) : replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	bool ok = true;

	for (int i = 1; i < argc; i++)
		ok = replay_path(argv[i]) && ok;
	if (replayed == 0)
		printf("not ok corpus: no file in it\n");
	return ok && replayed > 0 ? 0 : 1;
}
