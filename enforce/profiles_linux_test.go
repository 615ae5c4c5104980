// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor"
)

// pretendedKernel is a directory with the files of AppArmor, and what stands for the profile that it holds.
type pretendedKernel struct {
	*apparmor.Host
	directory string
}

func newPretendedKernel(t *testing.T) pretendedKernel {
	t.Helper()
	k := pretendedKernel{directory: t.TempDir()}
	for _, name := range []string{".replace", ".load", ".remove", "profiles"} {
		k.put(t, name, "")
	}
	host, err := apparmor.OpenHost(k.directory)
	if err != nil {
		t.Fatal(err)
	}
	k.Host = host
	return k
}

func (k pretendedKernel) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(k.directory, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// holds has the kernel hold a profile of that hash, sha1 or sha256; "" if it shows none.
func (k pretendedKernel) holds(t *testing.T, name, digest string) {
	t.Helper()
	k.put(t, "profiles", name+" (enforce)\n")
	k.put(t, "policy/profiles/"+name+".7/name", name+"\n")
	if algorithm, sum, ok := strings.Cut(digest, ":"); ok {
		k.put(t, "policy/profiles/"+name+".7/raw_"+algorithm, sum+"\n")
	}
}

// written returns what was loaded, and forgets it.
func (k pretendedKernel) written(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(k.directory, ".replace"))
	if err != nil {
		t.Fatal(err)
	}
	k.put(t, ".replace", "")
	return string(content)
}

// compiledProfiles are Profiles that have compiled the default before, so that no AppArmor is needed for it.
func compiledProfiles(t *testing.T) (Profiles, string) {
	t.Helper()
	features, ok := apparmor.KernelFeatures("6.12")
	if !ok {
		t.Fatal("no features of 6.12")
	}
	stream, err := compileBuiltIn(context.Background(), apparmor.DefaultName, features)
	if err != nil {
		t.Fatal(err)
	}
	p := Profiles{Directory: t.TempDir(), Kernel: "6.12"}
	key, err := p.key(apparmor.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(p.compiled(key)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(p.compiled(key), stream); err != nil {
		t.Fatal(err)
	}
	return p, string(stream)
}

func TestBuiltInProfileIsLoadedOnce(t *testing.T) {
	for _, algorithm := range []int{0, 1} {
		p, stream := compiledProfiles(t)
		k := newPretendedKernel(t)
		if p.current(k.Host, apparmor.DefaultName) {
			t.Error("current, and nothing is loaded")
		}
		if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil {
			t.Fatal(err)
		}
		if k.written(t) != stream {
			t.Error("something else was loaded")
		}
		k.holds(t, apparmor.DefaultName, digests([]byte(stream))[algorithm])
		if !p.current(k.Host, apparmor.DefaultName) {
			t.Error("not current after it was loaded")
		}
		if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil || k.written(t) != "" {
			t.Errorf("loaded again: %v", err)
		}
		changes, err := p.Journal().Changes()
		if err != nil || len(changes) != 1 || changes[0].Profiles[0].Before != apparmor.BeforeAbsent {
			t.Errorf("%+v %v", changes, err)
		}
	}
}

func TestKernelThatShowsNoHashesIsBelievedWhatWasLoaded(t *testing.T) {
	p, _ := compiledProfiles(t)
	k := newPretendedKernel(t)
	if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil {
		t.Fatal(err)
	}
	k.holds(t, apparmor.DefaultName, "")
	if !p.current(k.Host, apparmor.DefaultName) {
		t.Error("not current")
	}
}

func TestProfileOfAnotherIsLeftAlone(t *testing.T) {
	other := fmt.Sprintf("sha256:%064d", 1)
	for name, ours := range map[string]bool{"never loaded by us": false, "replaced after us": true} {
		p, _ := compiledProfiles(t)
		k := newPretendedKernel(t)
		if ours {
			if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil {
				t.Fatal(err)
			}
			k.written(t)
		}
		k.holds(t, apparmor.DefaultName, other)
		if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil || k.written(t) != "" {
			t.Errorf("%s: replaced: %v", name, err)
		}
	}
}

func TestProfileOfAnOlderBulkheadIsReplaced(t *testing.T) {
	p, stream := compiledProfiles(t)
	k := newPretendedKernel(t)
	old := fmt.Sprintf("sha256:%064d", 1)
	if err := os.MkdirAll(filepath.Dir(p.loaded(apparmor.DefaultName)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(p.loaded(apparmor.DefaultName), []byte(old+" sha1:0\n")); err != nil {
		t.Fatal(err)
	}
	k.holds(t, apparmor.DefaultName, old)
	if err := p.load(context.Background(), k.Host, apparmor.DefaultName); err != nil || k.written(t) != stream {
		t.Errorf("not replaced: %v", err)
	}
}

func TestWhatOthersMayWriteIsNotLoaded(t *testing.T) {
	p, _ := compiledProfiles(t)
	key, err := p.key(apparmor.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(p.compiled(key), []byte("planted"), 0o600), os.Chmod(p.compiled(key), 0o666)); err != nil {
		t.Fatal(err)
	}
	// It is compiled anew, which takes a kernel with AppArmor.
	stream, err := p.compile(context.Background(), apparmor.DefaultName)
	if string(stream) == "planted" || err != nil && !errors.Is(err, apparmor.ErrNoFeatures) {
		t.Errorf("%q %v", stream, err)
	}
}
