// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"text/tabwriter"

	"github.com/bulkhead-project/bulkhead/kernel"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenPlans holds the table and the JSON of typical requests to what they were.
func TestGoldenPlans(t *testing.T) {
	small := func(r *Request) { // a filter of a line, so that the files show the plan and not the profile
		useProfile(smallProfile)(r)
	}
	for name, test := range map[string]struct {
		facts   kernel.Facts
		level   string
		request func() Request
	}{
		"standalone-selinux": {selinuxKernel, "s0:c17,c42", func() Request {
			request := standaloneRequest()
			small(&request)
			request.Volumes = []Volume{{Source: "/srv/data", Destination: "/data", Relabel: RelabelPrivate, Chown: true}, {Source: "/etc/ssl", Destination: "/etc/ssl", ReadOnly: true}}
			return request
		}},
		"docker-without-mac": {plainKernel, "s0:c17,c42", func() Request {
			request := engineRequest()
			request.Engine.Seccomp = []byte(smallProfile)
			return request
		}},
		"host-namespaces-old-kernel": {with(bareKernel, func(f *kernel.Facts) { f.Landlock.ABI = 2 }), "s0:c17,c42", func() Request {
			request := standaloneRequest()
			request.Security.NoNewPrivileges = true
			request.Namespaces = Namespaces{HostPID: true, HostNetwork: true, HostIPC: true}
			return request
		}},
		"privileged": {apparmorKernel, "s0:c17,c42", func() Request {
			request := standaloneRequest()
			request.Privileged, request.Masked, request.ReadOnlyPaths = true, nil, nil
			request.Process.Capabilities = Capabilities{Bounding: CapabilityNames()}
			return request
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustMake(t, test.request(), test.facts)
			hideProgram(p)
			compiled := mustCompile(t, p, test.level)
			var table bytes.Buffer
			writer := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
			for _, row := range p.Rows() {
				fmt.Fprintf(writer, "%s\t%s\t%s\n", row.Layer, row.State, row.Detail)
			}
			writer.Flush()
			document, err := json.MarshalIndent(map[string]any{"plan": p, "compiled": compiled, "digests": compiled.Digests()}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name+".txt", table.Bytes())
			compareGolden(t, name+".json", append(document, '\n'))
		})
	}
}

// hideProgram puts a placeholder in the place of what the compiler made, which TestPlanDescribesItsFilter looks at: the files show the plan.
func hideProgram(p *Plan) {
	if p.Seccomp.Filter != nil {
		p.Seccomp.Filter.Program = []byte("program.")
		p.Seccomp.Instructions, p.Seccomp.Digest = 1, filterDigest(p.Seccomp.Filter)
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(-update writes the files anew)", path, got, want)
	}
}

func TestPlanSurvivesJSON(t *testing.T) {
	p := mustMake(t, standaloneRequest(), selinuxKernel)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var read Plan
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&read)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("%v: the plan in a record is another than the one that was made", err)
	}
}
