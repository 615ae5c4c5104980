// SPDX-License-Identifier: Apache-2.0

// Package container is the SELinux policy of containers, in CIL: the types container_t, container_file_t and their kin, what they may do, the constraints that keep
// two containers apart by their category pairs, what no container may ever do, and templates from which the policy of one particular container is generated.
//
// It is compiled onto a policy that has no such types, whatever that policy is otherwise: the reference policy of a distribution, or one that shares nothing with it.
// What depends on the policy stands in CIL optionals, and what it has already is not declared again, so that Sources is asked per policy. The names are those of
// container-selinux (container.te, 2.250.0) where it has them: what is labelled for one is labelled for the other.
//
// Limits: where a policy has container_t and container_file_t they are the distribution's, and are left as they are: policydb.Residue says what they leave.
package container

import (
	"bytes"
	"embed"
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// The types that a container gets where nothing else is asked for.
const (
	ProcessType = "container_t"
	FileType    = "container_file_t"
)

//go:embed policy/*.cil
var policyFiles embed.FS

// declared are the names of the policy, by the statement that declares them. What is declared as (X NAME) is a word here; a boolean has its state besides, an alias
// the type that it stands for.
var declared = []struct{ keyword, names string }{
	{"type", "container_t container_init_t container_kvm_t container_userns_t spc_t container_runtime_t"},
	{"type", "container_file_t container_ro_file_t container_device_t container_var_lib_t container_var_run_t container_log_t container_config_t container_runtime_exec_t"},
	{"typeattribute", "container_domain container_user_domain container_net_domain container_runtime_domain container_file_type svirt_sandbox_domain mcs_pair_domain mcs_pair_object"},
	{"typealias", "svirt_lxc_net_t=container_t svirt_sandbox_file_t=container_file_t container_share_t=container_ro_file_t"},
	{"boolean", "container_manage_cgroup=false container_use_devices=false container_use_all_capabilities=false container_use_execmem=true container_use_userns=true"},
}

// machines are those of virtual machines, for a policy that has none of them.
var machines = []struct{ keyword, names string }{
	{"type", "svirt_t svirt_image_t svirt_tmp_t svirt_tmpfs_t"},
	{"typeattribute", "svirt_file_type"},
}

// Has reports whether the policy has container types of its own, so that Sources is not for it.
func Has(policy *policydb.Policy) bool {
	names := namesOf(policy)
	return names["type "+ProcessType] && names["type "+FileType]
}

// Sources returns the container policy for a policy that has none, in the order in which it is to be compiled. callers are the types of the processes that will
// start containers, beside those that every distribution has; a name that is no type of the policy is an error.
func Sources(policy *policydb.Policy, callers ...string) ([]cil.Source, error) {
	names := namesOf(policy)
	var head strings.Builder
	head.WriteString("; Names that the policy does not have.\n")
	declare(&head, declared, names)
	files := []string{"mcs", "container"}
	if !names["type svirt_t"] {
		declare(&head, machines, names)
		files = append(files, "svirt")
	}
	if names["type unconfined_domain_type"] {
		files = append(files, "unconfined")
	} else {
		files = append(files, "plain")
	}
	for _, caller := range callers {
		if !names["type "+caller] {
			return nil, fmt.Errorf("caller %q is no type of the policy", caller)
		}
		fmt.Fprintf(&head, "(typeattributeset container_runtime_domain (%s))\n", caller)
	}
	sources := []cil.Source{{Name: "container/names.cil", Text: []byte(head.String())}}
	for _, name := range append(files, "secrets", "templates") {
		sources = append(sources, embedded(name))
	}
	return sources, nil
}

// namesOf returns what the policy declares: "type NAME" for types, attributes and aliases, which share their names, and "boolean NAME".
func namesOf(policy *policydb.Policy) map[string]bool {
	names := map[string]bool{}
	for i := range policy.Types.Entries {
		names["type "+policy.Types.Entries[i].Name] = true
	}
	for i := range policy.Booleans.Entries {
		names["boolean "+policy.Booleans.Entries[i].Name] = true
	}
	return names
}

// declare writes the statements for the names that are not there.
func declare(to *strings.Builder, list []struct{ keyword, names string }, there map[string]bool) {
	for _, declaration := range list {
		for word := range strings.FieldsSeq(declaration.names) {
			name, value, _ := strings.Cut(word, "=")
			switch {
			case declaration.keyword == "boolean" && !there["boolean "+name]:
				fmt.Fprintf(to, "(boolean %s %s)\n", name, value)
			case declaration.keyword == "boolean" || there["type "+name]:
			case declaration.keyword == "typealias":
				fmt.Fprintf(to, "(typealias %s)\n(typealiasactual %s %s)\n", name, name, value)
			default:
				fmt.Fprintf(to, "(%s %s)\n", declaration.keyword, name)
			}
		}
	}
}

// embedded returns one of the files of policy/.
func embedded(name string) cil.Source {
	path := "policy/" + name + ".cil"
	text, err := policyFiles.ReadFile(path)
	if err != nil {
		panic(err) // the file is part of the program
	}
	return cil.Source{Name: "container/" + name + ".cil", Text: text}
}

// Join makes one text of the sources, whose places in messages stay those of the sources.
func Join(sources []cil.Source) []byte {
	var text bytes.Buffer
	for _, source := range sources {
		fmt.Fprintf(&text, ";;* lms 1 %s\n%s;;* lme\n", source.Name, source.Text)
	}
	return text.Bytes()
}
