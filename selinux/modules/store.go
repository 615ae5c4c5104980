// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// storeRecord says which modules of the distribution's module store are ours. It outlives boots, as the store does, and is written before a module goes into the store
// and after it has left it.
type storeRecord struct {
	Format  int            `json:"format"`
	Modules []storedModule `json:"modules"`
}

// storedModule is a module in the store of a type of policy (SELINUXTYPE).
type storedModule struct {
	Policy   string   `json:"policy"`
	Name     string   `json:"name"`
	Digest   string   `json:"digest"`
	Declares []string `json:"declares,omitempty"`
}

const storeFormat = 1

func decodeStore(text []byte) (*storeRecord, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	record := &storeRecord{}
	if err := decoder.Decode(record); err != nil {
		return nil, err
	}
	if record.Format != storeFormat || len(record.Modules) > maximumModules {
		return nil, fmt.Errorf("format %d with %d modules", record.Format, len(record.Modules))
	}
	for _, module := range record.Modules {
		if err := checkName(module.Name); err != nil {
			return nil, err
		}
		if !isDigest(module.Digest) || !isPolicyType(module.Policy) {
			return nil, fmt.Errorf("module %s: digest %.80q, policy %.80q", module.Name, module.Digest, module.Policy)
		}
	}
	return record, nil
}

// isPolicyType holds SELINUXTYPE to the name of a directory.
func isPolicyType(name string) bool {
	return name != "" && name[0] != '.' && len(name) <= nameLimit && !strings.ContainsAny(name, "/\x00\n")
}

// find returns the module of a name, of any type of policy.
func (r *storeRecord) find(name string) (storedModule, bool) {
	i := slices.IndexFunc(r.Modules, func(m storedModule) bool { return m.Name == name })
	if i < 0 {
		return storedModule{}, false
	}
	return r.Modules[i], true
}

func (r *storeRecord) has(name, digest string) bool {
	module, ok := r.find(name)
	return ok && module.Digest == digest
}

func (r *storeRecord) owns(policy, name string) bool {
	return slices.ContainsFunc(r.Modules, func(m storedModule) bool { return m.Policy == policy && m.Name == name })
}

func (r *storeRecord) remove(policy, name string) {
	r.Modules = slices.DeleteFunc(r.Modules, func(m storedModule) bool { return m.Policy == policy && m.Name == name })
}

// setting is the last value of a key in a file of KEY=VALUE lines, with comments after "#": semanage.conf(5).
func setting(text []byte, key string) string {
	value := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if name, rest, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			value = strings.TrimSpace(rest)
		}
	}
	return value
}
