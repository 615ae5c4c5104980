// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// layer makes a directory with one file of its own and one that every layer has.
func layer(t *testing.T, parent, name string) string {
	t.Helper()
	directory := filepath.Join(parent, name)
	must(t, os.MkdirAll(directory, 0o755))
	must(t, os.WriteFile(filepath.Join(directory, "own "+filepath.Base(name)), []byte(name), 0o644))
	must(t, os.WriteFile(filepath.Join(directory, "top"), []byte(name), 0o644))
	return directory
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mounted(t *testing.T, overlay Overlay) string {
	t.Helper()
	must(t, overlay.Mount())
	t.Cleanup(func() {
		if err := overlay.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return overlay.Merged()
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	must(t, err)
	return string(text)
}

func TestHighestLayerWinsAndNoneIsChanged(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	low, high := layer(t, state, "low"), layer(t, state, "high")
	must(t, os.Chmod(high, 0o711))
	overlay := Overlay{Lower: []string{high, low}, State: state}
	merged := mounted(t, overlay)

	if got := content(t, merged, "top"); got != "high" {
		t.Fatalf("top comes from layer %q", got)
	}
	if got := content(t, merged, "own low"); got != "low" {
		t.Fatalf("got %q", got)
	}
	must(t, os.WriteFile(filepath.Join(merged, "top"), []byte("changed"), 0o644))
	must(t, os.Remove(filepath.Join(merged, "own low")))
	if content(t, high, "top") != "high" || content(t, low, "own low") != "low" {
		t.Fatal("a layer was changed")
	}
	info, err := os.Stat(merged)
	must(t, err)
	if info.Mode().Perm() != 0o711 {
		t.Fatalf("root of mode %v, want the highest layer's", info.Mode())
	}
}

func TestChangesSurviveANewMount(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	overlay := Overlay{Lower: []string{layer(t, state, "low")}, State: state}
	merged := mounted(t, overlay)
	must(t, os.WriteFile(filepath.Join(merged, "new"), []byte("kept"), 0o600))
	must(t, os.Chmod(merged, 0o701))
	must(t, overlay.Unmount())
	if _, err := os.Stat(filepath.Join(merged, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("still mounted: %v", err)
	}
	must(t, overlay.Mount())
	info, err := os.Stat(merged)
	must(t, err)
	if content(t, merged, "new") != "kept" || info.Mode().Perm() != 0o701 {
		t.Fatalf("mode %v", info.Mode())
	}
}

func TestPathsWithEveryPunctuationMount(t *testing.T) {
	needRoot(t)
	state := filepath.Join(t.TempDir(), `state,upperdir=x:a\b "c`)
	must(t, os.Mkdir(state, 0o700))
	lower := layer(t, state, `lay:er,\one "x" =`)
	merged := mounted(t, Overlay{Lower: []string{lower}, State: state})
	if got := content(t, merged, "top"); !strings.HasPrefix(got, "lay:er") {
		t.Fatalf("got %q", got)
	}
}

func TestMoreLayersThanFitIntoOnePage(t *testing.T) {
	needRoot(t)
	for _, count := range []int{127, 200, 400} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			state := t.TempDir()
			var lower []string
			for i := range count {
				lower = append(lower, layer(t, state, fmt.Sprintf("%s/%d", strings.Repeat("d", 100), i)))
			}
			merged := mounted(t, Overlay{Lower: lower, State: state})
			names, err := os.ReadDir(merged)
			must(t, err)
			if len(names) != count+1 || !strings.HasSuffix(content(t, merged, "top"), "/0") {
				t.Fatalf("%d names of %d layers, top from %q", len(names), count, content(t, merged, "top"))
			}
		})
	}
}

// The two ways must take the same options: the kernel shows them in mountinfo.
func TestBothWaysOfMountingGiveTheSameOptions(t *testing.T) {
	needRoot(t)
	shown := func(count int) string {
		state := t.TempDir()
		var lower []string
		for i := range count {
			lower = append(lower, layer(t, state, fmt.Sprint(i)))
		}
		merged := mounted(t, Overlay{Lower: lower, State: state})
		for line := range strings.Lines(content(t, "/proc/self/mountinfo")) {
			if strings.Contains(line, " "+merged+" ") {
				_, options, _ := strings.Cut(line, " - overlay overlay ")
				_, after, _ := strings.Cut(options, ",workdir=")
				_, fixed, _ := strings.Cut(strings.TrimSpace(after), ",")
				return fixed
			}
		}
		t.Fatal("not mounted")
		return ""
	}
	if one, other := shown(1), shown(300); one != other || !strings.Contains(one, "redirect_dir=nofollow") {
		t.Fatalf("mount(2) gives %q, fsconfig(2) %q", one, other)
	}
}

func TestRedirectsInALayerAreNotFollowed(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	low, high := layer(t, state, "low"), layer(t, state, "high")
	must(t, os.MkdirAll(filepath.Join(low, "secret"), 0o700))
	must(t, os.WriteFile(filepath.Join(low, "secret", "file"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(high, "open"), 0o755))
	must(t, unix.Lsetxattr(filepath.Join(high, "open"), "trusted.overlay.redirect", []byte("/secret"), 0))
	merged := mounted(t, Overlay{Lower: []string{high, low}, State: state})
	if _, err := os.Stat(filepath.Join(merged, "open", "file")); err == nil {
		t.Fatal("an attribute of a layer redirected the lookup")
	}
}

// As with --rootfs / and the state below it.
func TestStateInsideTheLayerCannotBeEnteredFromTheContainer(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	low := layer(t, root, "low")
	state := filepath.Join(low, "state")
	must(t, os.Mkdir(state, 0o700))
	merged := mounted(t, Overlay{Lower: []string{low}, State: state})
	must(t, os.WriteFile(filepath.Join(merged, "new"), nil, 0o600))
	if _, err := os.ReadDir(filepath.Join(merged, "state", "upper")); !errors.Is(err, unix.ELOOP) {
		t.Fatalf("error %v, want ELOOP", err)
	}
	if _, err := os.Stat(filepath.Join(state, "upper", "new")); err != nil {
		t.Fatal(err)
	}
}

func TestOverlaysThatCannotBe(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		overlay func(t *testing.T, state string) Overlay
		reason  string
	}{
		"no layer": {func(_ *testing.T, state string) Overlay { return Overlay{State: state} }, "no lower directory"},
		"missing layer": {func(_ *testing.T, state string) Overlay {
			return Overlay{Lower: []string{state + "/gone"}, State: state}
		}, "gone: no such file"},
		"layer is a file": {func(_ *testing.T, state string) Overlay {
			return Overlay{Lower: []string{layer(t, state, "l") + "/top"}, State: state}
		}, "not a directory"},
		"layer in the changes": {func(t *testing.T, state string) Overlay {
			return Overlay{Lower: []string{layer(t, state, "upper/l")}, State: state}
		}, "inside the changes"},
		"quote in context": {func(t *testing.T, state string) Overlay {
			return Overlay{Lower: []string{layer(t, state, "l")}, State: state, Context: `a",b`}
		}, "quote"},
		"state on overlay": {func(t *testing.T, state string) Overlay {
			merged := mounted(t, Overlay{Lower: []string{layer(t, state, "l")}, State: state})
			must(t, os.Mkdir(filepath.Join(merged, "inner"), 0o700))
			return Overlay{Lower: []string{state + "/l"}, State: filepath.Join(merged, "inner")}
		}, "is itself on overlayfs"},
	} {
		t.Run(name, func(t *testing.T) {
			overlay := c.overlay(t, t.TempDir())
			defer overlay.Unmount()
			err := overlay.Mount()
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("error %v, want one with %q", err, c.reason)
			}
			must(t, overlay.Unmount())
		})
	}
}

func TestBusyFileSystemIsDetached(t *testing.T) {
	needRoot(t)
	state := t.TempDir()
	overlay := Overlay{Lower: []string{layer(t, state, "low")}, State: state}
	merged := mounted(t, overlay)
	file, err := os.Open(filepath.Join(merged, "top"))
	must(t, err)
	defer file.Close()
	must(t, overlay.Unmount())
	if strings.Contains(content(t, "/proc/self/mountinfo"), merged) {
		t.Fatal("still mounted")
	}
	must(t, overlay.Unmount()) // twice is no error
}
