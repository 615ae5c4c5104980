/* SPDX-License-Identifier: Apache-2.0
 * Answers lookups from file_contexts by libselinux: selabel FILE_CONTEXTS, then lines of a mode (octal) and a path; prints the context, <<none>>, or error. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <selinux/label.h>

int main(int argc, char **argv)
{
	struct selinux_opt options[] = {{SELABEL_OPT_PATH, argc > 1 ? argv[1] : NULL}};
	struct selabel_handle *handle = selabel_open(SELABEL_CTX_FILE, options, 1);
	char *line = NULL;
	size_t size = 0;
	ssize_t length;

	if (!handle) {
		perror("selabel_open");
		return 1;
	}
	while ((length = getline(&line, &size, stdin)) > 0) {
		char *path, *context;
		int mode = strtol(line, &path, 8);

		line[length - 1] = '\0';
		if (selabel_lookup_raw(handle, &context, path + 1, mode) == 0) {
			puts(context);
			freecon(context);
		} else {
			puts(errno == ENOENT ? "<<none>>" : "error");
		}
	}
	selabel_close(handle);
	return 0;
}
