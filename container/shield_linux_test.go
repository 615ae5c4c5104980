// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

func TestContainerThatLacksAVolumeIsNotStarted(t *testing.T) {
	serving, err := mcs.Holder{ID: "c"}.WithProcess("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	gone := serving
	gone.StartTime++ // the number went to another process
	shields := []plan.Shield{{Destination: "/data"}, {Destination: "/more"}}
	for name, test := range map[string]struct {
		shields []plan.Shield
		served  []mcs.Holder
		want    string // "": it is started
	}{
		"None":                           {nil, nil, ""},
		"Served":                         {shields, []mcs.Holder{serving, serving}, ""},
		"CreatorKilledBeforeTheFirst":    {shields, nil, "shield /data was never mounted"},
		"CreatorKilledBetween":           {shields, []mcs.Holder{serving}, "shield /more was never mounted"},
		"ProcessGoneBetweenCreateAndNow": {shields, []mcs.Holder{serving, gone}, "shield /more: process "},
	} {
		t.Run(name, func(t *testing.T) {
			host := newHost(t)
			record := newTestRecord(t, host, "c", mcs.Holder{})
			record.Plan.Shields, record.Shields, record.Inner = test.shields, test.served, "/bin/true"
			if err := record.save(); err != nil {
				t.Fatal(err)
			}
			err := record.checkServed()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			started := oci.Command{Globals: oci.Options{{Name: "root", Value: record.Engine}}, Verb: "start", Arguments: []string{"c"}}
			inner := oci.Inner{Path: "/nonexistent"} // which is not reached
			_, err = host.Start(started, inner, [3]*os.File{})
			var lacks *ShieldError
			if !errors.As(err, &lacks) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnnotationsOfTheShieldThatSayNothingAreRefused(t *testing.T) {
	for _, said := range []string{"", " ", ",", " , "} {
		config, err := oci.Parse([]byte(`{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["true"], "cwd": "/"},
			"annotations": {"org.bulkhead.shield": "` + said + `", "org.bulkhead.shield-stdio": "` + said + `"}}`))
		if err != nil {
			t.Fatal(err)
		}
		host := newHost(t)
		var refused *plan.RefusedError
		if err := host.requestShields(&plan.Request{}, config); !errors.As(err, &refused) {
			t.Errorf("shield %q: %v", said, err)
		}
		if sealed, err := host.seal(&Job{}, config); sealed != nil || !errors.As(err, &refused) {
			t.Errorf("shield-stdio %q: %v", said, err)
		}
	}
}
