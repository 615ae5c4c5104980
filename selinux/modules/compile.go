// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"cmp"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// compileCIL is the compiler of a Host.
func compileCIL(base *policydb.Policy, sources []Source) (*policydb.Policy, source.Diagnostics, error) {
	texts := make([]cil.Source, len(sources))
	for i, from := range sources {
		texts[i] = cil.Source{Name: cmp.Or(from.File, from.Name), Text: from.Text}
	}
	result, err := cil.Compile(texts, cil.Options{Onto: base})
	if err != nil {
		return nil, nil, err
	}
	return result.Policy, result.Warnings, nil
}
