/* SPDX-License-Identifier: Apache-2.0 */
/* Answers questions by libsepol's compute_av: decide POLICY [BOOLEAN...], the booleans named being set and all others clear. A question is a line
 * SOURCE TARGET CLASS-NUMBER, an answer a line of the vectors allowed, auditallow and auditdeny in hexadecimal, or "invalid". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sepol/booleans.h>
#include <sepol/boolean_record.h>
#include <sepol/policydb.h>
#include <sepol/policydb/conditional.h>
#include <sepol/policydb/policydb.h>
#include <sepol/policydb/services.h>
#include <sepol/policydb/sidtab.h>
#include <sepol/sepol.h>

int main(int argc, char **argv)
{
	static policydb_t policy;
	static sidtab_t sids;
	struct policy_file file;
	FILE *input = argc > 1 ? fopen(argv[1], "r") : NULL;
	char line[1 << 16];

	policy_file_init(&file);
	file.type = PF_USE_STDIO;
	file.fp = input;
	if (!input || policydb_init(&policy) || policydb_read(&policy, &file, 0) || policydb_load_isids(&policy, &sids))
		return 1;
	for (uint32_t i = 0; i < policy.p_bools.nprim; i++)
		policy.bool_val_to_struct[i]->state = 0;
	for (int i = 2; i < argc; i++) {
		cond_bool_datum_t *found = hashtab_search(policy.p_bools.table, argv[i]);
		if (!found)
			return 1;
		found->state = 1;
	}
	if (evaluate_conds(&policy) || sepol_set_policydb(&policy) || sepol_set_sidtab(&sids))
		return 1;
	while (fgets(line, sizeof line, stdin)) {
		char *source = strtok(line, " \n"), *target = strtok(NULL, " \n"), *class = strtok(NULL, " \n");
		sepol_security_id_t from, to;
		struct sepol_av_decision answer;
		if (sepol_context_to_sid(source, strlen(source) + 1, &from) || sepol_context_to_sid(target, strlen(target) + 1, &to)) {
			puts("invalid");
			continue;
		}
		if (sepol_compute_av(from, to, atoi(class), 0, &answer))
			return 1;
		printf("%x %x %x\n", answer.allowed, answer.auditallow, answer.auditdeny);
	}
	return 0;
}
