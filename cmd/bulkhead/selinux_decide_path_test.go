// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel/dac"
)

// tree makes files for TestSELinuxDecidePath. Without SELinux their labels are plain attributes, which root may set.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for directory := root; directory != "/" && directory != "/tmp"; directory = filepath.Dir(directory) {
		if err := os.Chmod(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	acl := []byte{2, 0, 0, 0}
	for _, entry := range []struct {
		tag, access uint16
		id          uint32
	}{{1, 7, ^uint32(0)}, {2, 5, 1000}, {4, 0, ^uint32(0)}, {0x10, 5, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		acl = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(acl, entry.tag), entry.access), entry.id)
	}
	label := func(name, typ string) error {
		return unix.Setxattr(filepath.Join(root, name), "security.selinux", []byte("system_u:object_r:"+typ+":s0\x00"), 0)
	}
	for _, name := range []string{"open", "closed", "listed", "secret", "sticky"} {
		directory := filepath.Join(root, name)
		if err := errors.Join(os.Mkdir(directory, 0o755), os.WriteFile(directory+"/file", nil, 0o644), label(name, "data_t"), label(name+"/file", "data_t")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(root+"/closed", 0o700), unix.Setxattr(root+"/listed", "system.posix_acl_access", acl, 0), label("secret", "secret_t"),
		unix.Chmod(root+"/sticky", 0o1777), os.Symlink("../open/file", root+"/sticky/link"), os.Chmod(root+"/open/file", 0o600), os.Chown(root+"/open/file", 1000, 1000)); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestSELinuxDecidePath(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("makes files of other users: run as root")
	}
	root := tree(t)
	const app = "system_u:system_r:app_t:s0"
	for name, test := range map[string]struct {
		file, user string
		ask        []string
		last       string // line of the answer
		allowed    bool
	}{
		"Allowed":                   {"open/file", "1000:1000", []string{app, "file", "read"}, "allow read of ROOT/open/file: selinux: rule", true},
		"TheClassIsTheFiles":        {"open/file", "1000:1000", []string{app, "read"}, "allow read of ROOT/open/file: selinux: rule", true},
		"ModeOfTheFile":             {"open/file", "1001:1000", []string{app, "read"}, "deny read of ROOT/open/file: dac: group ---; capability dac_read_search or dac_override would override it, and only UID 0 has it", false},
		"ModeOfADirectory":          {"closed/file", "1000:1000", []string{app, "read"}, "deny search of ROOT/closed: dac: other ---; capability dac_read_search or dac_override would override it, and only UID 0 has it", false},
		"ListOfADirectory":          {"listed/file", "1000:1000", []string{app, "read"}, "allow read of ROOT/listed/file: selinux: rule", true},
		"NotListed":                 {"listed/file", "1001:1001,4,5", []string{app, "read"}, "deny search of ROOT/listed: dac: other ---; capability dac_read_search or dac_override would override it, and only UID 0 has it", false},
		"SELinuxAtADirectory":       {"secret/file", "0:0", []string{app, "read"}, "deny search of ROOT/secret: selinux: no rule", false},
		"SELinuxAtTheFile":          {"sticky/file", "0:0", []string{app, "write"}, "deny write of ROOT/sticky/file: selinux: no rule", false},
		"RootNeedsTheCapability":    {"open/file", "0:0", []string{app, "read"}, "deny read of ROOT/open/file: dac: other ---; capability dac_read_search or dac_override would override it, and SELinux denies it", false},
		"PermissiveDomainGoesOn":    {"secret/file", "0:0", []string{"system_u:system_r:other_t:s0", "read"}, "allow read of ROOT/secret/file: selinux: rule", false},
		"LinksAreAskedAbout":        {"sticky/link", "0:0", []string{app, "read"}, "deny read of ROOT/sticky/link: selinux: unknown", false},
		"OnlyTheOwnerRelabels":      {"open/file", "1001:1001", []string{app, "relabelfrom"}, "deny relabelfrom of ROOT/open/file: dac: not the owner; capability fowner would override it, and only UID 0 has it", false},
		"RemovalNeedsTheDirectory":  {"open/file", "1000:1000", []string{app, "unlink"}, "deny write of ROOT/open: dac: other r-x; capability dac_override would override it, and only UID 0 has it", false},
		"RemovalAsksSELinuxOfIt":    {"open/file", "0:0", []string{app, "unlink"}, "deny write of ROOT/open: selinux: no rule", false},
		"TheFirstThatDeniesIsNamed": {"open/file", "1000:1000", []string{app, "write", "read"}, "deny write of ROOT/open/file: selinux: no rule", false},
	} {
		args := append([]string{"decide", "--policy", smallPolicy, "--path", root + "/" + test.file, "--as", test.user, "--label", "/=system_u:object_r:data_t:s0"}, test.ask...)
		got, err := runSELinux(args...)
		lines := strings.Split(strings.TrimSpace(got), "\n")
		for len(lines) > 1 && strings.HasPrefix(lines[len(lines)-1], "\t") {
			lines = lines[:len(lines)-1]
		}
		want := strings.ReplaceAll(test.last, "ROOT", root)
		if first := strings.HasPrefix(got, "allow\n"); err != nil || first != test.allowed || lines[len(lines)-1] != want {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, want)
		}
	}
	contexts := filepath.Join(t.TempDir(), "file_contexts")
	if err := os.WriteFile(contexts, []byte("/.*\tsystem_u:object_r:data_t:s0\n"+root+"/[a-m].*\t--\tsystem_u:object_r:secret_t:s0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Removexattr(root+"/listed/file", "security.selinux"), unix.Removexattr(root+"/sticky/file", "security.selinux")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"listed": "deny relabelfrom", "sticky": "allow relabelfrom"} { // of secret_t and of data_t
		path := root + "/" + file + "/file"
		got, err := runSELinux("decide", "--policy", smallPolicy, "--path", path, "--as", "0", "--file-contexts", contexts, app, "relabelfrom")
		if err != nil || !strings.Contains(got, want+" of "+path+": selinux") {
			t.Errorf("--file-contexts: %v\n%s, want %s", err, got, want)
		}
	}
	got, err := runSELinux("decide", "--policy", smallPolicy, "--json", "--path", root+"/open/file", "--as", "0", "--label", "/=system_u:object_r:data_t:s0", app, "getattr")
	var answer pathAnswer
	if err != nil || json.Unmarshal([]byte(got), &answer) != nil || !answer.Allowed || answer.Steps[0].Path != "/" || answer.Steps[0].Layer != "dac" {
		t.Errorf("--json: %v: %s", err, got)
	}
}

func TestSELinuxDecideExtended(t *testing.T) {
	const app, data = "system_u:system_r:app_t:s0", "system_u:object_r:data_t:s0"
	for name, test := range map[string]struct {
		number, want string
	}{
		"Listed": {"0x8910", "allow\nallow ioctl 0x8910: extended\n\tallowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };\n"},
		"NotListed": {"35089", "deny\ndeny ioctl 0x8911: no extended rule\n\tallowxperm app_t data_t:file ioctl 0x5400-0x54ff;\n" +
			"\tallowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };\n"},
		"Silent":          {"0x9999", "deny ioctl 0x9999: no extended rule, and dontaudit keeps it out of the log\n"},
		"OneThatAllHave":  {"0x541b", "allow\nallow getattr: rule\n"},
		"TheUpperHalfToo": {"0xc0045410", "allow ioctl 0x5410: extended\n"},
	} {
		if got, err := runSELinux("decide", "--policy", smallPolicy, "--ioctl", test.number, app, data, "file"); err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, test.want)
		}
	}
}

func TestSELinuxDecideUsage(t *testing.T) {
	const app, data = "system_u:system_r:app_t:s0", "system_u:object_r:data_t:s0"
	for want, args := range map[string][]string{
		"it takes SOURCE-CONTEXT":               {app, data, "file"},
		"not both":                              {"--ioctl", "1", "--nlmsg", "1", app, data, "file"},
		"take SOURCE-CONTEXT TARGET":            {"--ioctl", "1", app, data, "file", "read"},
		"expected a number of 32 bits":          {"--ioctl", "0x1ffffffff", app, data, "file"},
		"expected a number below 65536":         {"--nlmsg", "65536", app, data, "file"},
		`no permission of file "nlmsg"`:         {"--nlmsg", "18", app, data, "file"},
		"asks no permission of the file":        {"--ioctl", "0x5421", app, data, "file"},
		"go together":                           {"--path", "/", app, "read"},
		"--path goes with permissions":          {"--path", "/", "--as", "0", "--ioctl", "1", app, "read"},
		"--path takes SOURCE-CONTEXT":           {"--path", "/", "--as", "0", app},
		`"x" is no number`:                      {"--path", "/", "--as", "0:x", app, "read"},
		"say UID:GID":                           {"--path", "/", "--as", "4000000000", app, "read"},
		"expected /PATH=CONTEXT":                {"--path", "/", "--as", "0", "--label", "x", app, "read"},
		"/ has no label":                        {"--path", "/proc/self", "--as", "0", app, "read"},
		"/ is a dir, not a file":                {"--path", "/", "--as", "0", app, "file", "read"},
		"no such file or directory":             {"--path", "/no/such", "--as", "0", app, "read"},
		"not a directory":                       {"--path", "/proc/version/x", "--as", "0", app, "read"},
		`/: context "x": fewer than three fiel`: {"--path", "/", "--as", "0", "--label", "/=x", app, "search"},
	} {
		if _, err := runSELinux(append([]string{"decide", "--policy", smallPolicy}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSELinuxDecidePathAsksTheFileSystemAndTheMount(t *testing.T) {
	policy, err := (&policyFlag{smallPolicy}).read()
	if err != nil {
		t.Fatal(err)
	}
	source, err := policy.ParseContext("system_u:system_r:init_t:s0")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file       node
		permission string
		layer      string // of the last step
		allowed    bool
	}{
		"Immutable":              {node{immutable: true}, "write", "file system", false},
		"ImmutableMayBeRead":     {node{immutable: true}, "read", "selinux", true},
		"ReadOnlyAsAWhole":       {node{readOnlyFilesystem: true}, "write", "file system", false},
		"DACBeforeTheMount":      {node{readOnlyMount: true, object: dac.Object{UID: 1}}, "write", "dac", false},
		"SELinuxBeforeTheMount":  {node{readOnlyMount: true}, "write", "selinux", false},
		"NoExec":                 {node{noExec: true, label: "system_u:object_r:bin_t:s0"}, "execute", "mount", false},
		"NoExecMayBeRead":        {node{noExec: true, label: "system_u:object_r:bin_t:s0"}, "read", "selinux", true},
		"UnlabelledByThePolicy":  {node{label: "system_u:object_r:gone_t:s0"}, "read", "selinux", true},
		"UnlabelledIsNoTrespass": {node{label: "system_u:object_r:gone_t:s0"}, "write", "selinux", false},
	} {
		file := test.file
		file.path, file.class, file.object.Mode = "/f", "file", 0o700
		if file.label == "" {
			file.label = "system_u:object_r:data_t:s0"
		}
		q := pathQuestion{policy: policy, source: source, subject: dac.Subject{}, walk: &walk{file: &file, directory: &file}}
		got, err := q.answer([]string{test.permission})
		if err != nil || got.Allowed != test.allowed || got.Steps[len(got.Steps)-1].Layer != test.layer {
			t.Errorf("%s: %v\n%s", name, err, got.text())
		}
	}
	parent, err := policy.ParseContext("system_u:system_r:parent_t:s0")
	if err != nil {
		t.Fatal(err)
	}
	file := node{path: "/f", class: "file", object: dac.Object{Mode: 0o700}, label: "system_u:object_r:data_t:s0", readOnlyMount: true}
	q := pathQuestion{policy: policy, source: parent, walk: &walk{file: &file, directory: &file}}
	if got, err := q.answer([]string{"read", "write"}); err != nil || got.Allowed || got.Steps[len(got.Steps)-1].Reason != "read-only" {
		t.Errorf("a read-only mount: %v\n%s", err, got.text())
	}
}
