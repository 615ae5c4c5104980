// SPDX-License-Identifier: Apache-2.0

// Compiles filters with libseccomp as they are read from standard input, a word after another:
//
//	filter DEFAULT LEVEL N ARCH...             what seccomp_init, SCMP_FLTATR_CTL_OPTIMIZE and seccomp_arch_add are given
//	rule ACTION NAME N (INDEX OP A B)...       what seccomp_rule_add is given; OP is enum scmp_compare
//	export SECONDS                             how long all of it may take, of CPU time
//
// For each export it answers "refused RULE CODE" for every rule that libseccomp refuses (CODE: -errno, or 1 for a name that it does not
// know), then "program NANOSECONDS HEX" or "error STAGE CODE". Past the limit SIGPROF ends it.

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RULES = 4096, MAX_ARCHES = 32 };

struct rule {
	uint32_t action;
	char name[64];
	unsigned int n;
	struct scmp_arg_cmp args[6];
};

static struct rule rules[MAX_RULES];
static char arches[MAX_ARCHES][32];
static unsigned int n_rules, n_arches, level;
static uint32_t default_action;

static int read_filter(void)
{
	n_rules = 0;
	if (scanf("%" SCNu32 " %u %u", &default_action, &level, &n_arches) != 3 || n_arches > MAX_ARCHES)
		return -1;
	for (unsigned int i = 0; i < n_arches; i++)
		if (scanf("%31s", arches[i]) != 1)
			return -1;
	return 0;
}

static int read_rule(void)
{
	struct rule *rule = &rules[n_rules];
	if (n_rules++ == MAX_RULES || scanf("%" SCNu32 " %63s %u", &rule->action, rule->name, &rule->n) != 3 || rule->n > 6)
		return -1;
	for (unsigned int i = 0; i < rule->n; i++) {
		unsigned int index, op;
		uint64_t a, b;
		if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) != 4)
			return -1;
		rule->args[i] = (struct scmp_arg_cmp){ index, op, a, b };
	}
	return 0;
}

static int64_t cpu(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); // the clock of the process moves by ticks while its timer runs
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void limit(long seconds)
{
	struct itimerval timer = { .it_value = { .tv_sec = seconds } };
	setitimer(ITIMER_PROF, &timer, NULL);
}

// Builds the filter in *context; on an error names the stage.
static int build(scmp_filter_ctx *context, int refused[], const char **stage)
{
	int rc;
	*stage = "init";
	if (!(*context = seccomp_init(default_action)))
		return -EINVAL;
	*stage = "arch";
	int native = 0;
	for (unsigned int i = 0; i < n_arches; i++) {
		uint32_t token = seccomp_arch_resolve_name(arches[i]);
		if (!token) // which would be taken for SCMP_ARCH_NATIVE
			return -EDOM;
		native |= token == seccomp_arch_native();
	}
	if (!native && (rc = seccomp_arch_remove(*context, SCMP_ARCH_NATIVE)))
		return rc;
	for (unsigned int i = 0; i < n_arches; i++)
		if ((rc = seccomp_arch_add(*context, seccomp_arch_resolve_name(arches[i]))) && rc != -EEXIST)
			return rc;
	*stage = "level";
	if ((rc = seccomp_attr_set(*context, SCMP_FLTATR_CTL_OPTIMIZE, level)))
		return rc;
	*stage = "rules";
	for (unsigned int i = 0; i < n_rules; i++) {
		int nr = seccomp_syscall_resolve_name(rules[i].name);
		refused[i] = nr == __NR_SCMP_ERROR ? 1 : seccomp_rule_add_array(*context, rules[i].action, nr, rules[i].n, rules[i].args);
	}
	return 0;
}

static void print_program(int fd, int64_t spent)
{
	unsigned char bytes[8 * 65536];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
	printf("program %" PRId64 " ", spent);
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

static int export(void)
{
	static int refused[MAX_RULES];
	scmp_filter_ctx context = NULL;
	const char *stage;
	long seconds;
	if (scanf("%ld", &seconds) != 1)
		return -1;
	int fd = memfd_create("program", MFD_CLOEXEC);
	limit(seconds);
	int64_t start = cpu();
	int rc = build(&context, refused, &stage);
	if (!rc) {
		stage = "export";
		rc = seccomp_export_bpf(context, fd);
	}
	int64_t spent = cpu() - start;
	limit(0);
	for (unsigned int i = 0; i < n_rules && context; i++)
		if (refused[i])
			printf("refused %u %d\n", i, refused[i]);
	if (rc)
		printf("error %s %d\n", stage, rc);
	else
		print_program(fd, spent);
	fflush(stdout);
	seccomp_release(context);
	return close(fd);
}

int main(void)
{
	char word[16];
	int rc = 0;
	while (!rc && scanf("%15s", word) == 1) {
		if (!strcmp(word, "filter"))
			rc = read_filter();
		else if (!strcmp(word, "rule"))
			rc = read_rule();
		else
			rc = strcmp(word, "export") ? -1 : export();
	}
	return rc != 0;
}
