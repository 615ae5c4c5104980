// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/plan"
)

func withMount(mount string) string {
	return `{"process":{"args":["sh"],"user":{"uid":7,"gid":8}},"root":{"path":"r"},"mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]},` + mount + `]}`
}

func TestLabelOptionsOfMountsAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		options string
		relabel plan.Relabel
		chown   bool
		kept    []string
	}{
		"None": {`"rbind","ro"`, "", false, []string{"rbind", "ro"}}, "Shared": {`"rbind","z","ro"`, plan.RelabelShared, false, []string{"rbind", "ro"}},
		"Private": {`"Z","bind"`, plan.RelabelPrivate, false, []string{"bind"}}, "All": {`"U","rbind","Z"`, plan.RelabelPrivate, true, []string{"rbind"}},
		"Twice": {`"bind","z","z"`, plan.RelabelShared, false, []string{"bind"}},
	} {
		config := mustParse(t, withMount(`{"destination":"/v","type":"bind","source":"/srv/v","options":[`+test.options+`]}`))
		volume := config.Request("id", "/bundle").Volumes[0]
		if volume.Relabel != test.relabel || volume.Chown != test.chown {
			t.Errorf("%s: %+v", name, volume)
		}
		if err := config.Edit(plan.Compiled{}, Place{Bundle: "/bundle"}); err != nil {
			t.Fatal(err)
		}
		encoded, err := config.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := mustParse(t, string(encoded)).Spec.Mounts[1].Options; !reflect.DeepEqual(got, test.kept) {
			t.Errorf("%s: the OCI runtime gets %q", name, got)
		}
	}
}

func TestLabelOptionsThatMeanNothingAreErrors(t *testing.T) {
	for mount, want := range map[string]string{
		`{"destination":"/v","type":"bind","source":"/srv/v","options":["rbind","Z","z"]}`: `mounts[1].options: "z" contradicts "Z"`,
		`{"destination":"/v","type":"tmpfs","source":"tmpfs","options":["nosuid","U"]}`:    `mounts[1].options: "U" is for bind mounts, not for a tmpfs on "/v"`,
		`{"destination":"/v","type":"bind","options":["bind","Z"]}`:                        `mounts[1].options: "Z", and no source`,
		`{"destination":"/v","type":"overlay","source":"o","options":["lowerdir=/a","z"]}`: `"z" is for bind mounts`,
	} {
		var bad *ConfigError
		if _, err := Parse([]byte(withMount(mount))); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mount, err)
		}
	}
}

func TestOwnerIsAsTheHostCountsUsers(t *testing.T) {
	for linux, want := range map[string][2]uint32{
		`{}`: {7, 8},
		`{"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":1000,"size":1},{"containerID":1,"hostID":100000,"size":100}],"gidMappings":[{"containerID":8,"hostID":50,"size":1}]}`: {100006, 50},
	} {
		config := mustParse(t, strings.Replace(minimal, "{", `{"linux":`+linux+`,`, 1))
		config.Spec.Process.User.UID, config.Spec.Process.User.GID = 7, 8
		if uid, gid, err := config.Owner(); err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%s: %d:%d, %v", linux, uid, gid, err)
		}
	}
	for linux, want := range map[string]string{
		`{"namespaces":[{"type":"user"}]}`: "linux.uidMappings: user 7",
		`{"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":7,"hostID":1,"size":1}],"gidMappings":[{"containerID":0,"hostID":1,"size":8}]}`: "linux.gidMappings: group 8",
	} {
		config := mustParse(t, strings.Replace(minimal, "{", `{"linux":`+linux+`,`, 1))
		config.Spec.Process.User.UID, config.Spec.Process.User.GID = 7, 8
		if _, _, err := config.Owner(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", linux, err)
		}
	}
}
