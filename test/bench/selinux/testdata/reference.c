/* SPDX-License-Identifier: Apache-2.0 */
/* The reference's side of bench-selinux: reference POLICY prints the CPU time of loading it, in ns, and of one decision of libsepol's compute_av over the
 * questions on the standard input, lines SOURCE TARGET CLASS-NUMBER whose contexts are known by then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sepol/policydb.h>
#include <sepol/policydb/policydb.h>
#include <sepol/policydb/services.h>
#include <sepol/policydb/sidtab.h>
#include <sepol/sepol.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	static policydb_t policy;
	static sidtab_t sids;
	static struct { sepol_security_id_t from, to; int class; } asked[100000];
	struct policy_file file;
	FILE *input = argc > 1 ? fopen(argv[1], "r") : NULL;
	char line[1 << 16];
	int count = 0;
	double start = now(), loaded;

	policy_file_init(&file);
	file.type = PF_USE_STDIO;
	file.fp = input;
	if (!input || policydb_init(&policy) || policydb_read(&policy, &file, 0) || policydb_load_isids(&policy, &sids))
		return 1;
	loaded = now() - start;
	if (sepol_set_policydb(&policy) || sepol_set_sidtab(&sids))
		return 1;
	while (count < 100000 && fgets(line, sizeof line, stdin)) {
		char *source = strtok(line, " \n"), *target = strtok(NULL, " \n"), *class = strtok(NULL, " \n");
		if (sepol_context_to_sid(source, strlen(source) + 1, &asked[count].from) || sepol_context_to_sid(target, strlen(target) + 1, &asked[count].to))
			return 1;
		asked[count++].class = atoi(class);
	}
	start = now();
	for (int i = 0; i < count; i++) {
		struct sepol_av_decision answer;
		if (sepol_compute_av(asked[i].from, asked[i].to, asked[i].class, 0, &answer))
			return 1;
	}
	printf("%.0f %.0f\n", loaded, (now() - start) / count);
	return 0;
}
