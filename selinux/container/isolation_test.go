// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func TestResidueIsWhatThePairsDoNotStop(t *testing.T) {
	data, err := os.ReadFile("../policydb/testdata/small.33") // its constraints are about reading files and signals
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	const process, files = "system_u:system_r:app_t", "system_u:object_r:tmp_t"
	toProcesses, toFiles, err := Residue(policy, process, files)
	if err != nil || !slices.Equal(toProcesses, []string{"unix_stream_socket { connectto read write }", "netlink_route_socket nlmsg_read"}) ||
		!slices.Equal(toFiles, []string{"file getattr"}) {
		t.Errorf("got %q, %q, %v", toProcesses, toFiles, err)
	}
	if withLevels, _, err := Residue(policy, process+":s0:c4", files); err != nil || !slices.Equal(withLevels, toProcesses) {
		t.Errorf("with a level of its own: %q, %v", withLevels, err)
	}
	if _, _, err := Residue(policy, "system_u:system_r:container_t", files); err == nil || !strings.Contains(err.Error(), "container_t") {
		t.Errorf("a type that is not there: %v", err)
	}
}

func TestTheSentenceStaysShort(t *testing.T) {
	if got := Sentence(nil, nil); got != "" {
		t.Errorf("nothing is %q", got)
	}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("class%d read", i))
	}
	if got := Sentence(many, []string{"file getattr"}); !strings.HasSuffix(got, "class7 read and 32 classes more; to its files: file getattr") || strings.Contains(got, "class8 ") {
		t.Errorf("got %q", got)
	}
}
