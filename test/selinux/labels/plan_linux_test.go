// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

// prediction is what `bulkhead label plan --json` says of a volume.
type prediction struct {
	Label  string `json:"label"`
	Access []struct {
		Process string `json:"process"`
		Object  string `json:"object"` // "" for all that is in the tree
		Label   string `json:"label"`  // that the object has afterwards
		Class   string `json:"class"`
		Read    string `json:"read"` // yes, no or unknown
		Write   string `json:"write"`
		Created string `json:"created"` // label of what the process makes in a directory
	} `json:"access"`
}

// predict plans a label for a volume, also where others use it.
func predict(t *testing.T, volume, level string, options ...string) *prediction {
	t.Helper()
	words := slices.Concat([]string{enforcing.Bulkhead, "label", "plan", "--json", "--take", "--level", level}, options, []string{volume})
	made := new(prediction)
	if err := json.Unmarshal([]byte(enforcing.Succeeds(t, words...)), made); err != nil {
		t.Fatal(err)
	}
	return made
}

// created returns the label of a file that a process makes in the volume.
func (p *prediction) created(t *testing.T, process string) string {
	t.Helper()
	for _, row := range p.Access {
		if row.Process == process && row.Object == "" && row.Class == "dir" {
			return row.Created
		}
	}
	t.Errorf("the plan says nothing of what %s makes", process)
	return ""
}

// of returns what a process can do to an object.
func (p *prediction) of(t *testing.T, process string, object object) access {
	t.Helper()
	at := p.row(t, process, object)
	if at < 0 {
		return access{}
	}
	row := p.Access[at]
	if row.Read == "unknown" || row.Write == "unknown" {
		t.Errorf("%s, %s: the plan does not know: %+v", process, object.inside, row)
	}
	return access{row.Read == "yes", row.Write == "yes"}
}

// label returns the label that the plan gives an object.
func (p *prediction) label(t *testing.T, object object) string {
	t.Helper()
	for _, row := range p.Access {
		if p.is(row.Object, row.Class, object) {
			return row.Label
		}
	}
	return ""
}

// row finds that of a file that came into the tree, else that of all in it.
func (p *prediction) row(t *testing.T, process string, object object) int {
	t.Helper()
	for i, row := range p.Access {
		if row.Process == process && p.is(row.Object, row.Class, object) {
			return i
		}
	}
	t.Errorf("the plan says nothing of %s and %s: %+v", process, object.inside, p.Access)
	return -1
}

func (p *prediction) is(named, class string, object object) bool {
	wanted := map[bool]string{true: "dir", false: "file"}[object.directory]
	if class != wanted {
		return false
	}
	for _, row := range p.Access {
		if row.Object != "" && filepath.Base(row.Object) == filepath.Base(object.host) && !object.directory {
			return named != "" && filepath.Base(named) == filepath.Base(object.host)
		}
	}
	return named == ""
}
